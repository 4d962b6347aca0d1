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
  tls: {address: "127.0.0.1:$tls", http: {tls: {}}}
  h2: {address: "127.0.0.1:$h2", http: {tls: {}}}
providers:
  file: {filename: "$folder/routes.yaml", watch: false}
serversTransport: {maxIdleConnsPerHost: 1024}
"""
)
ROUTES = Template(
    """
http:
  routers:
    all: {rule: "PathPrefix(`/`)", entryPoints: [web, tls], service: origin}
    h2: {rule: "PathPrefix(`/`)", entryPoints: [h2], service: origin_h2}
  services:
    origin: {loadBalancer: {servers: [{url: "http://127.0.0.1:$origin"}]}}
    origin_h2: {loadBalancer: {servers: [{url: "h2c://127.0.0.1:$origin_h2"}]}}
tls:
  certificates: [{certFile: "$certificate", keyFile: "$certificate"}]
"""
)


class Traefik(Peer):
    """Traefik from its official build."""

    name = "Traefik"
    program = "traefik"
    modes = frozenset({Mode.REVERSE, Mode.TLS, Mode.H2})
    settings = "`GOMAXPROCS=1`, 1024 idle upstream connections kept, no access log"
    version_arguments = ("version",)
    environment = MappingProxyType({"GOMAXPROCS": "1"})

    def prepare(self, folder: Path, port: int, origin: Origin) -> Launch:
        """One process in the foreground."""
        path = folder / "traefik.yaml"
        ports = {Mode.REVERSE: port, Mode.TLS: port + 1, Mode.H2: port + 2}
        path.write_text(STATIC.substitute(port=port, tls=ports[Mode.TLS], h2=ports[Mode.H2], folder=folder))
        routes = ROUTES.substitute(origin=origin.http, origin_h2=origin.h2, certificate=self.certificate)
        (folder / "routes.yaml").write_text(routes)
        return Launch([self.path, f"--configfile={path}"], ports, self.environment)
