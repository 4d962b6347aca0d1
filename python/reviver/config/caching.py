"""What holds between the keys of the cache, and what of them is probably not meant."""

import ipaddress
from collections.abc import Callable, Iterator

from reviver.config.covers import covers
from reviver.config.findings import Finding
from reviver.config.models import CacheKey, CacheOverride, CachePolicy, Config, Match, status_range
from reviver.config.positions import KeyPath

__all__ = ["cache_matches", "check_cache"]

Written = Callable[[KeyPath], bool]

_SHARED = {
    "no_store": "responses for one user may be shown to others",
    "private": "responses for one user may be shown to others",
    "vary": "responses for one kind of client may be shown to others",
}
"""What comes of ignoring these."""
_TOLD = {
    "authorization": ("there is a copy for each user, and passwords stand in keys", None),
    "proxy-authorization": ("there is a copy for each user, and passwords stand in keys", None),
    "cookie": ("every cookie counts, so that hardly two clients share a response", "name those that count in cookies"),
}
"""What comes of these fields in keys, with a hint."""


def check_cache(config: Config, written: Written) -> Iterator[Finding]:
    """Everything that is wrong between these keys."""
    policies = list(_policies(config))
    cache = config.cache
    if written(("cache",)) and not policies:
        yield Finding(
            ("cache",),
            "neither a route nor forward says cache, so nothing is cached",
            "add cache: true to one of them",
            "warning",
            at_key=True,
        )
    for index, network in enumerate(cache.purge.clients):
        if ipaddress.ip_network(network).prefixlen == 0:
            yield Finding(
                ("cache", "purge", "clients", index),
                "lets anybody who can reach a listener remove what is stored",
                "list the networks that may",
                "warning",
            )
    room, where = (cache.memory, "memory") if cache.disk is None else (cache.disk.size, "disk.size")
    if "max_object" in cache.model_fields_set and cache.max_object > room:
        yield Finding(
            ("cache", "max_object"),
            f"{cache.max_object} is more than the {room} of {where}, so the largest cannot be kept",
            "give disk too" if cache.disk is None else None,
            "warning",
        )
    for path, policy in policies:
        yield from _policy(config, policy, path, written)


def cache_matches(config: Config) -> Iterator[tuple[KeyPath, Match]]:
    """All conditions within policies, each with its place."""
    for path, policy in _policies(config):
        for index, match in enumerate(policy.bypass):
            yield (*path, "bypass", index), match
        for index, override in enumerate(policy.override):
            yield (*path, "override", index, "match"), override.match


def _policies(config: Config) -> Iterator[tuple[KeyPath, CachePolicy]]:
    for index, route in enumerate(config.reverse.routes if config.reverse is not None else ()):
        if route.cache is not None:
            yield ("reverse", "routes", index, "cache"), route.cache
    if config.forward is not None and config.forward.cache is not None:
        yield ("forward", "cache"), config.forward.cache


def _policy(config: Config, policy: CachePolicy, path: KeyPath, written: Written) -> Iterator[Finding]:
    most = config.cache.max_object
    # of what was cut out there is only the default to compare with
    known = not written(("cache", "max_object")) or "max_object" in config.cache.model_fields_set
    if known and policy.max_object is not None and policy.max_object > most:
        yield Finding(
            (*path, "max_object"),
            f"{policy.max_object} is more than the {most} of the top-level cache",
            "raise cache.max_object",
        )
    if known and policy.slice is not None and policy.slice > (policy.max_object or most):
        yield Finding(
            (*path, "slice"),
            f"whole pieces of {policy.slice} are larger than max_object ({policy.max_object or most}), so not stored",
            None,
            "warning",
        )
    yield from _statuses(policy, (*path, "ttl_by_status"))
    yield from _key(policy.key, (*path, "key"))
    for index, match in enumerate(policy.bypass):
        at = (*path, "bypass", index)
        cut = any(written((*at, key)) and key not in match.model_fields_set for key in Match.model_fields)
        if covers(match, Match.model_construct()) and not cut:
            yield Finding(at, "fits every request, so that nothing is cached", "say which, or leave cache out")
    for index, override in enumerate(policy.override):
        yield from _override(override, (*path, "override", index), written)
        first = next((i for i in range(index) if covers(policy.override[i].match, override.match)), None)
        if first is not None:
            yield Finding(
                (*path, "override", index),
                f"is never reached: override[{first}] fits all that it fits",
                f"put it before override[{first}]",
                "warning",
            )


def _statuses(policy: CachePolicy, path: KeyPath) -> Iterator[Finding]:
    """Ranges that are equal or overlap; of one within another the narrower counts."""
    seen: list[tuple[str, tuple[int, int]]] = []
    for text in policy.ttl_by_status:
        found = status_range(text)
        if found is None:
            continue
        for before, (first, last) in seen:
            if found == (first, last):
                yield Finding((*path, text), f"are the same statuses as {before}", "keep one of them", at_key=True)
            elif first < found[0] <= last < found[1] or found[0] < first <= found[1] < last:
                yield Finding(
                    (*path, text),
                    f"overlaps {before}, and neither is the narrower one",
                    "give each status to one of them",
                    at_key=True,
                )
        seen.append((text, found))


def _key(key: CacheKey, path: KeyPath) -> Iterator[Finding]:
    if key.query.include is not None and key.query.ignore:
        yield Finding(
            (*path, "query"),
            "has include and ignore, where one is needed",
            "what is not included does not count",
            at_key=True,
        )
    if not key.host:
        yield Finding((*path, "host"), "a response of one host is served for every other", None, "warning")
    if not key.path:
        yield Finding((*path, "path"), "a response for one path is served for every other", None, "warning")
    for index, name in enumerate(key.headers):
        if name.lower() in _TOLD:
            yield Finding((*path, "headers", index), *_TOLD[name.lower()], "warning")


def _override(override: CacheOverride, path: KeyPath, written: Written) -> Iterator[Finding]:
    if not any(written((*path, key)) for key in CacheOverride.model_fields if key != "match"):
        yield Finding(path, "changes nothing", "give one of ttl, min, max, percent, ignore")
    if override.min is not None and override.max is not None and override.min > override.max:
        yield Finding((*path, "min"), f"{override.min} is more than max ({override.max})")
    if override.ttl is not None:
        for key in ("min", "max", "percent"):
            if written((*path, key)):
                yield Finding((*path, key), "has no effect beside ttl", None, "warning", at_key=True)
    for index, what in enumerate(override.ignore):
        if what in _SHARED:
            yield Finding(
                (*path, "ignore", index),
                f"{what}: {_SHARED[what]}",
                "let match fit only what is the same for all",
                "warning",
            )
