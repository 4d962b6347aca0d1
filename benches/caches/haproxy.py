"""HAProxy's cache: memory only."""

from __future__ import annotations

from pathlib import Path
from string import Template

from benches.caches.base import MIB, Cache, Room

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
cache objects
    total-max-size $mebibytes
    max-object-size 1048576
    max-age 86400
frontend reverse
    bind 127.0.0.1:$port backlog 4096
    option forwardfor
    http-request cache-use objects
    http-response cache-store objects
    default_backend origin
backend origin
    server origin 127.0.0.1:$origin pool-max-conn 1024
"""
)


class HaproxyCache(Cache):
    """A ring of blocks of 1 KiB; the least recently used goes."""

    name = "HAProxy"
    peer = "HAProxy"
    grows = False
    settings = "`total-max-size` as the scenario says, `max-object-size` 1 MiB; it does not collapse requests"

    def argv(self, folder: Path, files: Path, port: int, origin: int, room: Room) -> list[str | Path]:
        """One process in the foreground."""
        path = folder / "haproxy.cfg"
        path.write_text(CONFIGURATION.substitute(mebibytes=room.memory // MIB, port=port, origin=origin))
        return [self.path, "-db", "-f", path]
