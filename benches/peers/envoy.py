"""Envoy: reverse proxy, forward proxy for absolute-form requests, CONNECT, and TLS with HTTP/2 on both sides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benches.peers.base import Launch, Mode, Origin, Peer

TYPE = "type.googleapis.com/envoy.extensions"
DNS_CACHE = {"name": "names", "dns_lookup_family": "V4_ONLY"}
CIRCUIT = {"thresholds": [{"max_connections": 20000, "max_pending_requests": 20000, "max_requests": 20000}]}


def listener(
    name: str, port: int, routes: list[dict[str, Any]], filters: Sequence[dict[str, Any]] = (), certificate: str = ""
) -> dict[str, Any]:
    """A listener on loopback: HTTP/1.1 in the clear, or whatever ALPN says over TLS where there is a certificate."""
    manager = {
        "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": "AUTO" if certificate else "HTTP1",
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
    chain: dict[str, Any] = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    }
    if certificate:
        pair = {"certificate_chain": {"filename": certificate}, "private_key": {"filename": certificate}}
        chain["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [pair]},
            },
        }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"name": name, "address": address, "filter_chains": [chain]}


def cluster(name: str, port: int, **more: Any) -> dict[str, Any]:
    """The origin on that port of loopback."""
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
    return {
        "name": name,
        "type": "STATIC",
        "circuit_breakers": CIRCUIT,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        **more,
    }


def bootstrap(ports: Mapping[Mode, int], origin: Origin, certificate: str) -> dict[str, Any]:
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
    http2 = {
        "@type": f"{TYPE}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    everything = {"match": {"prefix": "/"}}
    to_origin = [{**everything, "route": {"cluster": "origin", "timeout": "0s"}}]
    to_origin_h2 = [{**everything, "route": {"cluster": "origin_h2", "timeout": "0s"}}]
    return {
        "static_resources": {
            "listeners": [
                listener("reverse", ports[Mode.REVERSE], to_origin),
                listener("forward", ports[Mode.FORWARD], [connect, {**everything, "route": to_anywhere}], [resolve]),
                listener("tls", ports[Mode.TLS], to_origin, certificate=certificate),
                listener("h2", ports[Mode.H2], to_origin_h2, certificate=certificate),
            ],
            "clusters": [
                cluster("origin", origin.http),
                cluster(
                    "origin_h2",
                    origin.h2,
                    typed_extension_protocol_options={"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
                ),
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
    modes = frozenset(Mode)
    settings = "`--concurrency 1`, no access log, no admin, limits of its circuit breakers raised"

    def prepare(self, folder: Path, port: int, origin: Origin) -> Launch:
        """One process with one worker thread; forward and tunnels through its dynamic forward proxy."""
        path = folder / "envoy.json"
        ports = {
            Mode.REVERSE: port,
            Mode.FORWARD: port + 1,
            Mode.TUNNEL: port + 1,
            Mode.TLS: port + 2,
            Mode.H2: port + 3,
        }
        path.write_text(json.dumps(bootstrap(ports, origin, str(self.certificate)), indent=1))
        argv: list[str | Path] = [self.path, "--concurrency", "1", "--disable-hot-restart", "-l", "error", "-c", path]
        return Launch(argv, ports)
