"""What holds between the keys of pools: balancing, health, outliers, who waits and who stays with one server."""

from collections.abc import Callable, Iterator

from pydantic import BaseModel

from reviver.config.discovering import check_discover
from reviver.config.findings import Finding
from reviver.config.mirroring import bounded, mirrored
from reviver.config.models import Config, Health, Outlier, Pool, Reverse
from reviver.config.positions import KeyPath

__all__ = ["check_pools"]

Written = Callable[[KeyPath], bool]

_OF_HTTP = ("path", "method", "host", "headers", "expect", "expect_headers", "body")
_HASHED = {"hash_on": ("hash", "maglev"), "hash_balance": ("hash",)}
"""Keys that only these balancers heed."""


def check_pools(config: Config, written: Written) -> Iterator[Finding]:
    """Everything that is wrong between these keys."""
    reverse = config.reverse
    if reverse is None:
        return
    used = _used(reverse)
    for name, pool in reverse.pools.items():
        path: KeyPath = ("reverse", "pools", name)
        if name not in used:
            yield Finding(path, "no route uses this pool", None, "warning")
        yield from check_discover(pool, path, written)
        yield from _servers(pool, (*path, "servers"))
        yield from _balance(pool, path, written)
        yield from _sticky(name, pool, reverse, (*path, "sticky"), written)
        if pool.health is not None:
            yield from _health(pool, pool.health, (*path, "health"), written)
        if pool.outlier is not None:
            servers = len(pool.servers) if pool.discover is None else None
            yield from _outlier(pool.outlier, servers, (*path, "outlier"), written)


def _used(reverse: Reverse) -> set[str | None]:
    used = {route.pool for route in reverse.routes} | mirrored(reverse)
    for split in reverse.splits.values():
        used |= {split.stable, split.canary, *(split.variants or ())}
    return used


def _servers(pool: Pool, path: KeyPath) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, server in enumerate(pool.servers):
        if server.address in seen:
            yield Finding((*path, index), f"{server.address} is in this pool already", "give it a weight")
        seen.add(server.address)
    if not pool.servers:
        return
    if all(server.weight == 0 for server in pool.servers):
        yield Finding(path, "no server has a weight, so none takes requests", None, "warning")
    elif all(server.backup for server in pool.servers):
        yield Finding(
            path, "every server is a backup, so that there is none to stand in for", "leave out backup", "warning"
        )


def _read(model: BaseModel, key: str, path: KeyPath, written: Written) -> bool:
    """Whether what stands in the model is what counts; of what was cut out there is only the default."""
    return key in model.model_fields_set or not written((*path, key))


def _balance(pool: Pool, path: KeyPath, written: Written) -> Iterator[Finding]:
    if _read(pool, "balance", path, written):
        for key, balancers in _HASHED.items():
            if written((*path, key)) and pool.balance not in balancers:
                yield Finding(
                    (*path, key),
                    f"has no effect by {pool.balance}",
                    f"write balance: {' or '.join(balancers)}",
                    at_key=True,
                )
    bound = bounded(pool, path, written) or any(
        server.max_connections or not _read(server, "max_connections", (*path, "servers", index), written)
        for index, server in enumerate(pool.servers)
    )
    # what is found there may have bounds of its own
    found = pool.discover
    bound |= found is not None and bool(found.max_connections or found.file or found.http)
    if written((*path, "queue")) and not bound:
        yield Finding(
            (*path, "queue"),
            "none ever waits: there is no bound on what servers take",
            "give servers max_connections, or the pool max_requests",
            "warning",
            at_key=True,
        )


def _sticky(name: str, pool: Pool, reverse: Reverse, path: KeyPath, written: Written) -> Iterator[Finding]:
    sticky = pool.sticky
    if sticky is None:
        return
    if not written((*path, "secret")):
        yield Finding(
            path,
            f"pool {name}: without a secret one is made up at each start, so that cookies hold until then, and for "
            "this process alone",
            "give secret: ${STICKY_SECRET}",
            "warning",
            at_key=True,
        )
    for split, item in reverse.splits.items():
        if item.sticky is not None and item.sticky.cookie == sticky.cookie:
            yield Finding((*path, "cookie"), f"split {split} has a cookie of this name", "give one of them another")


def _health(pool: Pool, health: Health, path: KeyPath, written: Written) -> Iterator[Finding]:
    for key, value in (("timeout", health.timeout), ("every_down", health.every_down)):
        if value is not None and value > health.every and _read(health, "every", path, written):
            yield Finding((*path, key), f"{value} is more than every ({health.every})")
    # the path alone may stand in place of the table
    if health.path is None and not written((*path, "type")) and not written((*path, "path")):
        yield Finding(
            path, "says not what is asked", "give path: /healthz, or type: http, tcp, tls or grpc", at_key=True
        )
    elif _read(health, "type", path, written):
        kind = health.type or "http"
        for key in _OF_HTTP if kind != "http" else ():
            if written((*path, key)):
                yield Finding((*path, key), f"has no effect on checks of type {kind}", None, "warning", at_key=True)
        if kind != "grpc" and written((*path, "service")):
            yield Finding((*path, "service"), f"has no effect on checks of type {kind}", None, "warning", at_key=True)
        if kind == "grpc":
            yield from _grpc(pool, path, written)
        if kind == "http" and health.method == "HEAD" and written((*path, "body")):
            yield Finding((*path, "body"), "an answer to HEAD has none", "write method: GET", at_key=True)


def _grpc(pool: Pool, path: KeyPath, written: Written) -> Iterator[Finding]:
    if pool.protocol == "http/1.1":
        yield Finding((*path, "type"), "gRPC goes by HTTP/2, and protocol is http/1.1", "write protocol: h2")
    elif pool.protocol == "auto" and not written((*path[:-1], "tls")) and not written((*path[:-1], "protocol")):
        yield Finding(
            (*path, "type"),
            "gRPC goes by HTTP/2, and without tls requests go by HTTP/1.1",
            "write protocol: h2",
            "warning",
        )


def _outlier(outlier: Outlier, servers: int | None, path: KeyPath, written: Written) -> Iterator[Finding]:
    if outlier.max_eject is not None and outlier.eject > outlier.max_eject and _read(outlier, "eject", path, written):
        yield Finding((*path, "eject"), f"{outlier.eject} is more than max_eject ({outlier.max_eject})")
    for key, judged in (("success_rate", outlier.success_rate), ("latency", outlier.latency)):
        if judged is not None and servers is not None and judged.min_servers > servers:
            number = f"{servers} server{'' if servers == 1 else 's'}"
            yield Finding(
                (*path, key),
                f"judges none: the pool has {number}, and min_servers is {judged.min_servers}",
                "give more servers, or a lower min_servers",
                "warning",
                at_key=True,
            )
