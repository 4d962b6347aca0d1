"""The whole plan."""

import hashlib

from reviver.compile.cache import compile_cache
from reviver.compile.forward import compile_forward
from reviver.compile.inputs import Inputs
from reviver.compile.listeners import compile_listeners
from reviver.compile.logs import compile_logs
from reviver.compile.plan import Plan, Resolver
from reviver.compile.pools import compile_pools
from reviver.compile.routes import compile_routes
from reviver.compile.splits import compile_splits
from reviver.config import Config, Loaded

__all__ = ["compile_plan"]


def compile_plan(loaded: Loaded, inputs: Inputs, *, fingerprint: str) -> Plan:
    """The plan of a configuration: every default resolved, every name an index, every unit fixed.

    `fingerprint` is that of the engine's schema. Equal arguments give equal plans.
    """
    config = loaded.config
    reverse = config.reverse
    return {
        "fingerprint": fingerprint,
        "workers": inputs.cpus if config.workers == "auto" else config.workers,
        "listeners": compile_listeners(loaded, inputs),
        "trusted_proxies": list(config.trusted_proxies),
        "via": config.via or _pseudonym(loaded, inputs),
        "resolver": _resolver(config),
        "challenges": inputs.challenges,
        "reverse": None
        if reverse is None
        else {
            "routes": compile_routes(reverse, loaded),
            "pools": compile_pools(reverse.pools, loaded, inputs),
            "splits": compile_splits(reverse, loaded),
        },
        "forward": None if config.forward is None else compile_forward(config.forward, inputs, loaded),
        "logs": compile_logs(loaded),
        "cache": compile_cache(loaded),
    }


def _pseudonym(loaded: Loaded, inputs: Inputs) -> str:
    """Stable for a configuration on a machine, different for two of them, and telling nothing of either."""
    name = f"{inputs.hostname}\0{loaded.path or loaded.positions.file}"
    return f"reviver-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _resolver(config: Config) -> Resolver:
    resolver = config.resolver
    return {
        "servers": [str(server) for server in resolver.servers],
        "hosts_file": resolver.hosts_file,
        "min_ttl_ms": int(resolver.min_ttl),
        "max_ttl_ms": int(resolver.max_ttl),
        "cache_size": resolver.cache_size,
        "timeout_ms": int(resolver.timeout),
        "fallback_delay_ms": int(resolver.fallback_delay),
    }
