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
        protocols h1 h2
    }
}
(to_origin) {
    reverse_proxy {args[0]} {
        transport http {
            keepalive_idle_conns_per_host 1024
            compression off
        }
    }
}
http://:$port {
    bind 127.0.0.1
    import to_origin 127.0.0.1:$origin
}
https://:$tls {
    bind 127.0.0.1
    tls $certificate $certificate
    import to_origin 127.0.0.1:$origin
}
https://:$h2 {
    bind 127.0.0.1
    tls $certificate $certificate
    import to_origin h2c://127.0.0.1:$origin_h2
}
"""
)


class Caddy(Peer):
    """Caddy from its official build."""

    name = "Caddy"
    program = "caddy"
    modes = frozenset({Mode.REVERSE, Mode.TLS, Mode.H2})
    settings = "`GOMAXPROCS=1`, 1024 idle upstream connections kept, no log, no admin API"
    version_arguments = ("version",)
    environment = MappingProxyType({"GOMAXPROCS": "1"})

    def prepare(self, folder: Path, port: int, origin: Origin) -> Launch:
        """One process in the foreground, its state inside the folder."""
        path = folder / "Caddyfile"
        ports = {Mode.REVERSE: port, Mode.TLS: port + 1, Mode.H2: port + 2}
        text = CONFIGURATION.substitute(
            port=port,
            tls=ports[Mode.TLS],
            h2=ports[Mode.H2],
            origin=origin.http,
            origin_h2=origin.h2,
            certificate=self.certificate,
        )
        path.write_text(text)
        state = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        return Launch(
            [self.path, "run", "--adapter", "caddyfile", "--config", path],
            ports,
            {**self.environment, **state},
        )
