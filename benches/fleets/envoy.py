"""Envoy in front of several servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benches.fleets.base import Fleet, Service
from benches.peers.envoy import CIRCUIT, listener


class EnvoyFleet(Fleet):
    """One cluster with all servers."""

    peer = "Envoy"
    settings = "`lb_policy` as the scenario says, with its defaults (two choices)"

    def argv(self, folder: Path, port: int, service: Service) -> list[str | Path]:
        """One process with one worker thread."""
        path = folder / "envoy.json"
        path.write_text(json.dumps(self.bootstrap(port, service), indent=1))
        return [self.path, "--concurrency", "1", "--disable-hot-restart", "-l", "error", "-c", path]

    def bootstrap(self, port: int, service: Service) -> dict[str, Any]:
        """The whole static configuration; servers are not checked."""
        routes = [{"match": {"prefix": "/"}, "route": {"cluster": "servers", "timeout": "0s"}}]
        cluster = {
            "name": "servers",
            "type": "STATIC",
            "lb_policy": service.balance,
            "circuit_breakers": CIRCUIT,
            "load_assignment": {
                "cluster_name": "servers",
                "endpoints": [{"lb_endpoints": [endpoint(server) for server in service.servers]}],
            },
        }
        return {"static_resources": {"listeners": [listener("reverse", port, routes)], "clusters": [cluster]}}


def endpoint(server: str) -> dict[str, Any]:
    """An address with its port, in Envoy's words."""
    address, _, port = server.rpartition(":")
    return {"endpoint": {"address": {"socket_address": {"address": address, "port_value": int(port)}}}}
