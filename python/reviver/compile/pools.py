"""Pools and their servers."""

import secrets

from reviver.compile import plan
from reviver.compile.health import compile_health, compile_outlier
from reviver.compile.inputs import Inputs
from reviver.compile.tls import compile_upstream_tls
from reviver.config import KeyPath, Loaded
from reviver.config.models import Adaptive, Pool, RetryBudget, Server, Sticky

__all__ = ["compile_pools"]

_SECRET = secrets.token_urlsafe(32)
"""Signs the cookies of pools that name no secret: one for the process, so that they hold over a reload."""


def compile_pools(pools: dict[str, Pool], loaded: Loaded, inputs: Inputs) -> list[plan.Pool]:
    """The pools in the order in which they were written; a route names one by its index."""
    return [_pool(name, pool, loaded, inputs) for name, pool in pools.items()]


def _pool(name: str, pool: Pool, loaded: Loaded, inputs: Inputs) -> plan.Pool:
    path: KeyPath = ("reverse", "pools", name)
    return {
        "name": name,
        "at": loaded.positions.place(path),
        "servers": [_server(server, name, index, loaded) for index, server in enumerate(pool.servers)],
        "balance": pool.balance,
        "hash_on": _hash_on(pool.hash_on),
        "hash_bound": pool.hash_balance // 100,
        "sticky": _sticky(pool.sticky, (*path, "sticky"), loaded),
        "health": compile_health(pool.health, (*path, "health"), loaded),
        "outlier": compile_outlier(pool.outlier, (*path, "outlier"), loaded),
        "slow_start_ms": int(pool.slow_start),
        "queue": {"max": pool.queue.max, "timeout_ms": int(pool.queue.timeout)},
        "panic": int(pool.panic),
        "retry_budget": _retry_budget(pool.retry_budget),
        "max_requests": pool.max_requests or 0,
        "adaptive": _adaptive(pool.adaptive, (*path, "adaptive"), loaded),
        "tls": compile_upstream_tls(name, pool.tls, loaded, inputs),
        "protocol": pool.protocol,
        "proxy_protocol": pool.proxy_protocol,
        "max_idle": pool.keep_alive.max,
        "idle_ms": int(pool.keep_alive.idle),
    }


def _hash_on(text: str) -> plan.HashOn:
    kind, _, name = text.partition(":")
    match kind:
        case "header":
            return {"header": name}
        case "cookie":
            return {"cookie": name}
        case "path":
            return "path"
        case _:
            return "client"


def _sticky(sticky: Sticky | None, path: KeyPath, loaded: Loaded) -> plan.Sticky | None:
    if sticky is None:
        return None
    return {
        "at": loaded.positions.place(path),
        "cookie": sticky.cookie,
        "secret": _SECRET if sticky.secret is None else sticky.secret,
        "max_age": sticky.max_age.seconds,
    }


def _retry_budget(budget: RetryBudget) -> plan.RetryBudget:
    # that it is a whole number has been checked
    return {"percent": int(budget.percent), "per_second": budget.min.number * 1000 // budget.min.period}


def _adaptive(adaptive: Adaptive | None, path: KeyPath, loaded: Loaded) -> plan.Adaptive | None:
    if adaptive is None:
        return None
    return {
        "at": loaded.positions.place(path),
        "min": adaptive.min,
        "max": adaptive.max,
        "tolerance": adaptive.tolerance // 100,
    }


def _server(server: Server, pool: str, index: int, loaded: Loaded) -> plan.Server:
    return {
        "address": str(server.address),
        "at": loaded.positions.place(("reverse", "pools", pool, "servers", index)),
        "weight": server.weight,
        "backup": server.backup,
        "max_connections": server.max_connections,
    }
