"""HAProxy in front of several servers."""

from __future__ import annotations

from pathlib import Path
from string import Template

from benches.fleets.base import Fleet, Service

CONFIGURATION = Template(
    """
global
    nbthread 1
    maxconn 12000
    no strict-limits
defaults
    mode http
    http-reuse always
    timeout connect 5s
    timeout client 120s
    timeout server 60s
frontend reverse
    bind 127.0.0.1:$port backlog 4096
    option forwardfor
    default_backend servers
backend servers
    balance $balance
$checks
$servers
"""
)
CHECKS = Template(
    """
    option httpchk GET /64
    default-server check inter ${milliseconds}ms
"""
)


class HaproxyFleet(Fleet):
    """One backend with all servers."""

    peer = "HAProxy"
    settings = "`balance` as the scenario says, upstream connections kept for an hour; checks by `option httpchk`"

    def argv(self, folder: Path, port: int, service: Service) -> list[str | Path]:
        """One process in the foreground."""
        path = folder / "haproxy.cfg"
        every = service.check_every
        path.write_text(
            CONFIGURATION.substitute(
                port=port,
                balance=service.balance,
                checks="" if every is None else CHECKS.substitute(milliseconds=round(every * 1000)),
                servers="\n".join(
                    f"    server s{number} {server} pool-max-conn 1024 pool-purge-delay 1h"
                    for number, server in enumerate(service.servers)
                ),
            )
        )
        return [self.path, "-db", "-f", path]
