"""Pools and their servers."""

from reviver.compile import plan
from reviver.compile.inputs import Inputs
from reviver.compile.tls import compile_upstream_tls
from reviver.config import Loaded
from reviver.config.models import Pool, Server

__all__ = ["compile_pools"]


def compile_pools(pools: dict[str, Pool], loaded: Loaded, inputs: Inputs) -> list[plan.Pool]:
    """The pools in the order in which they were written; a route names one by its index."""
    return [_pool(name, pool, loaded, inputs) for name, pool in pools.items()]


def _pool(name: str, pool: Pool, loaded: Loaded, inputs: Inputs) -> plan.Pool:
    return {
        "name": name,
        "at": loaded.positions.place(("reverse", "pools", name)),
        "servers": [_server(server, name, index, loaded) for index, server in enumerate(pool.servers)],
        "balance": pool.balance,
        "hash_on": "client",
        "hash_bound": 125,
        "sticky": None,
        "health": None,
        "outlier": {
            "at": loaded.positions.place(("reverse", "pools", name, "outlier")),
            "consecutive_errors": 5,
            "statuses": [],
            "success_rate": None,
            "latency": None,
            "every_ms": 10_000,
            "eject_ms": 10_000,
            "max_eject_ms": 300_000,
            "max_ejected": 5000,
        },
        "slow_start_ms": 0,
        "queue": {"max": 100, "timeout_ms": 5000},
        "panic": 0,
        "retry_budget": {"percent": 2000, "per_second": 10},
        "tls": compile_upstream_tls(name, pool.tls, loaded, inputs),
        "protocol": pool.protocol,
        "proxy_protocol": pool.proxy_protocol,
        "max_idle": pool.keep_alive.max,
        "idle_ms": int(pool.keep_alive.idle),
    }


def _server(server: Server, pool: str, index: int, loaded: Loaded) -> plan.Server:
    return {
        "address": str(server.address),
        "at": loaded.positions.place(("reverse", "pools", pool, "servers", index)),
        "weight": server.weight,
        "backup": server.backup,
        "max_connections": 0,
    }
