"""Reviver, both directions."""

from __future__ import annotations

from pathlib import Path
from string import Template

from benches.peers.base import Launch, Mode, Origin, Peer

CONFIGURATION = Template(
    """
workers: 1
listeners:
  web: {bind: "127.0.0.1:$reverse", role: reverse}
  office: {bind: "127.0.0.1:$forward", role: forward}
  tls: {bind: "127.0.0.1:$tls", role: reverse, tls: {certificates: [{certificate: $certificate}]}}
limits: {requests_per_connection: none}
logs:
  - {to: "file:$folder/access.log", format: json, rotate: {size: 512MiB, keep: 1}}
control: {socket: $folder/control.sock}
reverse:
  routes:
    - {name: h2, match: {host: $host_h2}, pool: origin-h2}
    - {name: all, pool: origin}
  pools:
    origin: {servers: ["127.0.0.1:$http"], keep_alive: {max: 1024}}
    origin-h2: {servers: ["127.0.0.1:$h2"], protocol: h2, keep_alive: {max: 1024}}
forward:
  connect_ports: [$bulk, $echo]
  private_destinations: allow
"""
)


class Reviver(Peer):
    """The release build."""

    name = "Reviver"
    program = "reviver"
    modes = frozenset(Mode)
    settings = "one worker, 1024 idle upstream connections kept, **access log on**: JSON, to a file"

    def prepare(self, folder: Path, port: int, origin: Origin) -> Launch:
        """One process; one configuration for all scenarios."""
        path = folder / "reviver.yaml"
        text = CONFIGURATION.substitute(
            reverse=port,
            forward=port + 1,
            tls=port + 2,
            http=origin.http,
            bulk=origin.bulk,
            echo=origin.echo,
            h2=origin.h2,
            host_h2=Mode.H2.host,
            certificate=self.certificate,
            folder=folder,
        )
        path.write_text(text)
        ports = {
            Mode.REVERSE: port,
            Mode.FORWARD: port + 1,
            Mode.TUNNEL: port + 1,
            Mode.TLS: port + 2,
            Mode.H2: port + 2,
        }
        return Launch([self.path, "run", path], ports)
