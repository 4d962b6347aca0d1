"""Envoy: reverse proxy, forward proxy for absolute-form requests, and CONNECT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benches.peers.base import Launch, Mode, Origin, Peer

TYPE = "type.googleapis.com/envoy.extensions"
DNS_CACHE = {"name": "names", "dns_lookup_family": "V4_ONLY"}
CIRCUIT = {"thresholds": [{"max_connections": 20000, "max_pending_requests": 20000, "max_requests": 20000}]}


def listener(name: str, port: int, routes: list[dict[str, Any]], filters: list[dict[str, Any]]) -> dict[str, Any]:
    """An HTTP/1.1 listener on loopback."""
    manager = {
        "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": "HTTP1",
        "http_protocol_options": {"allow_absolute_url": True},
        "upgrade_configs": [{"upgrade_type": "CONNECT"}],
        "use_remote_address": True,
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
        "http_filters": [
            *filters,
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router", "suppress_envoy_headers": True},
            },
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"name": name, "address": address, "filter_chains": [chain]}


def bootstrap(reverse: int, forward: int, origin: int) -> dict[str, Any]:
    """The whole static configuration."""
    to_anywhere = {"cluster": "anywhere", "timeout": "0s"}
    connect = {
        "match": {"connect_matcher": {}},
        "route": {**to_anywhere, "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]},
    }
    resolve = {
        "name": "envoy.filters.http.dynamic_forward_proxy",
        "typed_config": {
            "@type": f"{TYPE}.filters.http.dynamic_forward_proxy.v3.FilterConfig",
            "dns_cache_config": DNS_CACHE,
        },
    }
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": origin}}}}
    everything = {"match": {"prefix": "/"}}
    return {
        "static_resources": {
            "listeners": [
                listener("reverse", reverse, [{**everything, "route": {"cluster": "origin", "timeout": "0s"}}], []),
                listener("forward", forward, [connect, {**everything, "route": to_anywhere}], [resolve]),
            ],
            "clusters": [
                {
                    "name": "origin",
                    "type": "STATIC",
                    "circuit_breakers": CIRCUIT,
                    "load_assignment": {"cluster_name": "origin", "endpoints": [{"lb_endpoints": [endpoint]}]},
                },
                {
                    "name": "anywhere",
                    "lb_policy": "CLUSTER_PROVIDED",
                    "circuit_breakers": CIRCUIT,
                    "cluster_type": {
                        "name": "envoy.clusters.dynamic_forward_proxy",
                        "typed_config": {
                            "@type": f"{TYPE}.clusters.dynamic_forward_proxy.v3.ClusterConfig",
                            "dns_cache_config": DNS_CACHE,
                        },
                    },
                },
            ],
        }
    }


class Envoy(Peer):
    """Envoy from its official build."""

    name = "Envoy"
    program = "envoy"
    modes = frozenset({Mode.REVERSE, Mode.FORWARD, Mode.TUNNEL})
    settings = "`--concurrency 1`, no access log, no admin, limits of its circuit breakers raised"

    def prepare(self, folder: Path, port: int, origin: Origin) -> Launch:
        """One process with one worker thread; forward and tunnels through its dynamic forward proxy."""
        path = folder / "envoy.json"
        path.write_text(json.dumps(bootstrap(port, port + 1, origin.http), indent=1))
        argv: list[str | Path] = [self.path, "--concurrency", "1", "--disable-hot-restart", "-l", "error", "-c", path]
        return Launch(argv, {Mode.REVERSE: port, Mode.FORWARD: port + 1, Mode.TUNNEL: port + 1})
