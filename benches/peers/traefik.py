"""Traefik as a reverse proxy."""

from __future__ import annotations

from pathlib import Path
from string import Template
from types import MappingProxyType

from benches.peers.base import Launch, Mode, Origin, Peer

STATIC = Template(
    """
global: {checkNewVersion: false, sendAnonymousUsage: false}
log: {level: ERROR}
entryPoints:
  web: {address: "127.0.0.1:$port"}
providers:
  file: {filename: "$folder/routes.yaml", watch: false}
serversTransport: {maxIdleConnsPerHost: 128}
"""
)
ROUTES = Template(
    """
http:
  routers:
    all: {rule: "PathPrefix(`/`)", entryPoints: [web], service: origin}
  services:
    origin: {loadBalancer: {servers: [{url: "http://127.0.0.1:$origin"}]}}
"""
)


class Traefik(Peer):
    """Traefik from its official build."""

    name = "Traefik"
    program = "traefik"
    modes = frozenset({Mode.REVERSE})
    settings = "`GOMAXPROCS=1`, 128 idle upstream connections kept, no access log"
    version_arguments = ("version",)
    environment = MappingProxyType({"GOMAXPROCS": "1"})

    def prepare(self, folder: Path, port: int, origin: Origin) -> Launch:
        """One process in the foreground."""
        path = folder / "traefik.yaml"
        path.write_text(STATIC.substitute(port=port, folder=folder))
        (folder / "routes.yaml").write_text(ROUTES.substitute(origin=origin.http))
        return Launch([self.path, f"--configfile={path}"], {Mode.REVERSE: port}, self.environment)
