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
    }
