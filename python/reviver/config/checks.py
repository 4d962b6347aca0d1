"""What holds between keys: names that must exist, addresses that must differ, a proxy that must not be open.

Checked on whatever part of a configuration could be read, so each check asks `written` before it says that
something is missing: it may be there and wrong.
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator

from reviver.config.balancing import check_pools
from reviver.config.caching import cache_matches, check_cache
from reviver.config.covers import covers
from reviver.config.findings import Finding, named
from reviver.config.mirroring import check_mirrors
from reviver.config.models import BindAddress, Config, Forward, Match, Reverse, Route
from reviver.config.positions import KeyPath, path_text
from reviver.config.secure import check_secure
from reviver.config.splitting import check_splits

__all__ = ["check", "is_loopback"]

_PAIRED = 100
"""How many routes are compared with each that follows."""

Written = Callable[[KeyPath], bool]


def check(config: Config, written: Written) -> Iterator[Finding]:
    """Everything that is wrong between the keys of a configuration."""
    yield from _listeners(config, written)
    if config.forward is not None:
        yield from _forward(config, config.forward, written)
    if config.reverse is not None:
        yield from _routes(config.reverse, written)
    for path, match in cache_matches(config):
        yield from _same_fields((*path, "header"), match.header)
    yield from check_cache(config, written)
    yield from check_pools(config, written)
    yield from check_splits(config, written)
    yield from check_mirrors(config, written)
    yield from check_secure(config, written)
    yield from _logs(config)
    if config.resolver.min_ttl > config.resolver.max_ttl:
        yield Finding(("resolver", "min_ttl"), f"{config.resolver.min_ttl} is more than max_ttl")


def is_loopback(bind: BindAddress) -> bool:
    """Whether only the machine itself can reach an address that is listened on."""
    return bind.host == "localhost" or (bool(bind.host) and ipaddress.ip_address(bind.host).is_loopback)


def _listeners(config: Config, written: Written) -> Iterator[Finding]:
    if not written(("listeners",)):
        yield Finding(("listeners",), "is missing", 'add listeners: {web: {bind: ":8080", role: reverse}}')
    taken: dict[tuple[str, int], str] = {}
    for name, listener in config.listeners.items():
        path = ("listeners", name)
        for index, bind in enumerate(listener.bind):
            key = {"": "0.0.0.0", "localhost": "127.0.0.1"}.get(bind.host, bind.host), bind.port
            if key in taken:
                yield Finding((*path, "bind", index), f"{bind} is taken already, by {taken[key]}")
            taken.setdefault(key, path_text(path))
        if listener.timeout is not None:
            fields = listener.timeout.model_fields_set
            if "drain" in fields:
                yield Finding(
                    (*path, "timeout", "drain"), "holds for the whole proxy", "write it in the top-level timeout"
                )
            if listener.role == "reverse":
                for key_name in ("connect", "first_byte", "idle"):
                    if key_name in fields:
                        yield Finding(
                            (*path, "timeout", key_name),
                            "has no effect on a reverse listener",
                            "write it in the route's timeout, or in the top-level one",
                        )
        if listener.role == "reverse" and not written(("reverse", "routes")):
            yield Finding((*path, "role"), "there are no reverse routes to serve", "add reverse: {routes: [...]}")
        if listener.role == "forward" and not written(("forward",)):
            yield Finding((*path, "role"), "there is no forward section to serve by", "add forward: {}")
    roles = {listener.role for listener in config.listeners.values()}
    complete = all(written(("listeners", name, "role")) for name in config.listeners)
    for role in ("reverse", "forward"):
        if complete and written((role,)) and role not in roles:
            yield Finding((role,), f"no listener has the role {role}", "add one under listeners", "warning")


def _forward(config: Config, forward: Forward, written: Written) -> Iterator[Finding]:
    closed = written(("forward", "auth")) or (written(("forward", "clients")) and bool(forward.clients))
    everyone = [i for i, net in enumerate(forward.clients) if ipaddress.ip_network(net).prefixlen == 0]
    for name, listener in config.listeners.items():
        for index, bind in enumerate(listener.bind if listener.role == "forward" else ()):
            if is_loopback(bind):
                continue
            if not closed:
                yield Finding(
                    ("listeners", name, "bind", index),
                    f"{bind} can be reached by other machines, and anybody could use the proxy",
                    "give forward.clients or forward.auth, or bind to 127.0.0.1",
                )
            elif everyone and not written(("forward", "auth")):
                yield Finding(
                    ("forward", "clients", everyone[0]),
                    f"lets anybody who can reach {bind} use the proxy",
                    "give forward.auth too",
                    "warning",
                )
                everyone = []


def _routes(reverse: Reverse, written: Written) -> Iterator[Finding]:
    names: dict[str, int] = {}
    for index, route in enumerate(reverse.routes):
        path = ("reverse", "routes", index)
        name = route.name or f"route-{index + 1}"
        if name in names:
            yield Finding((*path, "name"), f"another route is called {name} already", "names of routes are unique")
        names.setdefault(name, index)
        yield from _action(route, path, reverse, written)
        headers = route.headers
        for keys, fields in (
            (("match", "header"), route.match.header),
            (("respond", "headers"), route.respond.headers if route.respond else {}),
            (("headers", "request", "set"), headers.request.set),
            (("headers", "response", "set"), headers.response.set),
        ):
            yield from _same_fields((*path, *keys), fields)
    yield from _unreached(reverse.routes)


def _same_fields(path: KeyPath, fields: Iterable[str]) -> Iterator[Finding]:
    """Fields of one name, which is compared without case (RFC 9110, section 5.1)."""
    seen: dict[str, str] = {}
    for name in fields:
        if name.lower() in seen:
            yield Finding((*path, name), f"is the same field as {seen[name.lower()]}", "keep one of them", at_key=True)
        seen.setdefault(name.lower(), name)


def _unreached(routes: tuple[Route, ...]) -> Iterator[Finding]:
    """Routes behind one that matches all that they match."""
    # every pair is looked at, so only among so many routes; a route without conditions covers any number
    widest = next((i for i, route in enumerate(routes) if route.match == Match.model_construct()), len(routes))
    for index, route in enumerate(routes):
        earlier = [widest] if index > widest else range(min(index, _PAIRED))
        first = next((i for i in earlier if covers(routes[i].match, route.match)), None)
        if first is not None:
            name, before = (routes[i].name or f"route-{i + 1}" for i in (index, first))
            yield Finding(
                ("reverse", "routes", index),
                f"route {name} is never reached: {before} before it matches all that it matches",
                f"put it before {before}",
                "warning",
            )


def _action(route: Route, path: KeyPath, reverse: Reverse, written: Written) -> Iterator[Finding]:
    actions = [key for key in ("pool", "split", "respond", "redirect") if written((*path, key))]
    if len(actions) > 1:
        yield Finding(path, f"has {' and '.join(actions)}, where one is needed", "split it into two routes")
    elif not actions:
        yield Finding(path, "does nothing", "give one of pool, split, respond, redirect")
    if route.pool is not None and not written(("reverse", "pools", route.pool)):
        yield Finding((*path, "pool"), f"there is no pool {route.pool}", named(reverse.pools, route.pool))
    if route.split is not None and not written(("reverse", "splits", route.split)):
        yield Finding((*path, "split"), f"there is no split {route.split}", named(reverse.splits, route.split))
    if route.respond is not None:
        if route.respond.status in (204, 205, 304) and route.respond.body:
            yield Finding((*path, "respond", "body"), f"an answer {route.respond.status} has no content")
        for name in route.respond.headers:
            if name.lower() == "content-type":
                yield Finding((*path, "respond", "headers", name), "has a key of its own", "write content_type")
    if actions and not {"pool", "split"} & set(actions):
        if route.cache is not None:
            yield Finding(
                (*path, "cache"),
                f"only what a pool answers is cached, and this route has {actions[0]}",
                "leave it out",
                at_key=True,
            )
        for key in ("rewrite", "retry", "timeout", "priority"):
            if written((*path, key)):
                yield Finding((*path, key), f"has no effect beside {actions[0]}", None, "warning", at_key=True)


def _logs(config: Config) -> Iterator[Finding]:
    files: set[str] = set()
    for index, sink in enumerate(config.logs):
        kind, _, target = sink.to.partition(":")
        if kind == "file":
            if target in files:
                yield Finding(("logs", index, "to"), f"another log is written to {target} already")
            files.add(target)
        elif sink.rotate is not None:
            yield Finding(("logs", index, "rotate"), f"{sink.to} is not a file that could be rotated")
        if sink.rotate is not None and sink.rotate.size is None and sink.rotate.every is None:
            yield Finding(("logs", index, "rotate"), "says not when", "give size or every")
