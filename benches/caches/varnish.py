"""Varnish, which is a cache first of all."""

from __future__ import annotations

from pathlib import Path
from string import Template

from benches.caches.base import Cache, Room

CONFIGURATION = Template(
    """
vcl 4.1;
backend origin { .host = "127.0.0.1"; .port = "$origin"; }
"""
)


class VarnishCache(Cache):
    """Objects in memory, by its built-in rules; in a mapped file where there is a disk."""

    name = "Varnish"
    peer = "Varnish"
    disk = True
    settings = "built-in rules, storage `malloc` or, with a disk, `file`; one thread pool, no log reader"

    def argv(self, folder: Path, files: Path, port: int, origin: int, room: Room) -> list[str | Path]:
        """A manager and its child in the foreground."""
        path = folder / "cache.vcl"
        path.write_text(CONFIGURATION.substitute(origin=origin))
        storage = f"malloc,{room.memory}" if room.disk is None else f"file,{files / 'store'},{room.disk}"
        argv: list[str | Path] = [self.path, "-F", "-j", "none", "-n", folder / "state"]
        argv += ["-a", f"127.0.0.1:{port}", "-f", path, "-s", storage]
        return [*argv, "-p", "thread_pools=1", "-p", "thread_pool_min=100", "-p", "timeout_idle=120"]
