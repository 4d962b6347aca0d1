"""The cache: the store that is shared, and how each route and the forward half use it."""

import os

from reviver.compile import plan
from reviver.compile.matches import compile_match
from reviver.config import KeyPath, Loaded
from reviver.config.models import CacheDisk, CacheKey, CacheOverride, CachePolicy, status_range

__all__ = ["compile_cache", "compile_policy"]


def compile_cache(loaded: Loaded) -> plan.Cache | None:
    """What all that is cached shares; none where nothing is."""
    config = loaded.config
    routes = config.reverse.routes if config.reverse is not None else ()
    if not any(route.cache for route in routes) and (config.forward is None or config.forward.cache is None):
        return None
    cache, place = config.cache, loaded.positions.place
    return {
        "at": place(("cache",)),
        "memory": int(cache.memory),
        "disk": None if cache.disk is None else _disk(cache.disk, loaded),
        "targeted": _once(cache.targeted),
        "status": cache.status,
        "purge_clients": list(cache.purge.clients),
        "purge_at": place(("cache", "purge", "clients")),
    }


def _disk(disk: CacheDisk, loaded: Loaded) -> plan.CacheDisk:
    return {
        "at": loaded.positions.place(("cache", "disk")),
        "path": os.path.normpath(loaded.base / disk.path),
        "size": int(disk.size),
    }


def compile_policy(policy: CachePolicy, path: KeyPath, loaded: Loaded) -> plan.CachePolicy:
    """One policy, complete; it was written at `path`."""
    most = loaded.config.cache.max_object
    return {
        "at": loaded.positions.place(path),
        "ttl_ms": _milliseconds(policy.ttl),
        "ttl_by_status": _statuses(policy),
        "key": _key(policy.key),
        "bypass": [compile_match(match) for match in policy.bypass],
        "ignore_client_no_cache": policy.ignore_client_no_cache,
        "overrides": [
            _override(override, loaded.positions.place((*path, "override", index)))
            for index, override in enumerate(policy.override)
        ],
        "stale_while_revalidate_ms": _milliseconds(policy.stale_while_revalidate),
        "stale_if_error_ms": _milliseconds(policy.stale_if_error),
        "min_uses": policy.min_uses,
        "max_object": int(most if policy.max_object is None else policy.max_object),
        "tags": list(dict.fromkeys(policy.tags)),
        "convert_head": policy.convert_head,
        "compress_stored": policy.compress_stored,
        "slice": int(policy.slice or 0),
        "collapse_ms": int(policy.collapse_timeout),
    }


def _milliseconds(time: int | None) -> int | None:
    # nothing at all is another thing than no time
    return None if time is None else int(time)


def _statuses(policy: CachePolicy) -> list[plan.StatusTtl]:
    """The narrowest first, for the engine takes the first that fits. That none overlaps another has been checked."""
    ranges = {found: ttl for text, ttl in policy.ttl_by_status.items() if (found := status_range(text))}
    narrowest = sorted(ranges.items(), key=lambda item: (item[0][1] - item[0][0], item[0]))
    return [{"from": first, "to": last, "ttl_ms": int(ttl)} for (first, last), ttl in narrowest]


def _key(key: CacheKey) -> plan.CacheKey:
    return {
        "scheme": key.scheme,
        "host": key.host,
        "path": key.path,
        "query_include": None if key.query.include is None else list(key.query.include),
        "query_ignore": list(key.query.ignore),
        "query_sort": key.query.sort,
        "headers": _once(key.headers),
        "cookies": list(dict.fromkeys(key.cookies)),
    }


def _once(names: tuple[str, ...]) -> list[str]:
    """Names of fields in lower case, each once."""
    return list(dict.fromkeys(name.lower() for name in names))


def _override(override: CacheOverride, at: str) -> plan.CacheOverride:
    return {
        "at": at,
        "matches": compile_match(override.match),
        "ttl_ms": _milliseconds(override.ttl),
        "min_ms": _milliseconds(override.min),
        "max_ms": _milliseconds(override.max),
        "percent": override.percent,
        "ignore": list(dict.fromkeys(override.ignore)),
    }
