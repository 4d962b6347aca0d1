"""Caddy as a reverse proxy."""

from __future__ import annotations

from pathlib import Path
from string import Template
from types import MappingProxyType

from benches.peers.base import Launch, Mode, Origin, Peer

CONFIGURATION = Template(
    """
{
    admin off
    auto_https off
    persist_config off
    log {
        output discard
    }
    servers {
        protocols h1
    }
}
http://:$port {
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:$origin {
        transport http {
            keepalive_idle_conns_per_host 128
            compression off
        }
    }
}
"""
)


class Caddy(Peer):
    """Caddy from its official build."""

    name = "Caddy"
    program = "caddy"
    modes = frozenset({Mode.REVERSE})
    settings = "`GOMAXPROCS=1`, 128 idle upstream connections kept, no log, no admin API"
    version_arguments = ("version",)
    environment = MappingProxyType({"GOMAXPROCS": "1"})

    def prepare(self, folder: Path, port: int, origin: Origin) -> Launch:
        """One process in the foreground, its state inside the folder."""
        path = folder / "Caddyfile"
        path.write_text(CONFIGURATION.substitute(port=port, origin=origin.http))
        state = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        return Launch(
            [self.path, "run", "--adapter", "caddyfile", "--config", path],
            {Mode.REVERSE: port},
            {**self.environment, **state},
        )
