"""Varnish as a reverse proxy that caches nothing."""

from __future__ import annotations

from pathlib import Path
from string import Template

from benches.peers.base import Launch, Mode, Origin, Peer

CONFIGURATION = Template(
    """
vcl 4.1;
backend origin { .host = "127.0.0.1"; .port = "$origin"; }
sub vcl_recv { return (pass); }
"""
)


class Varnish(Peer):
    """Debian's Varnish; every request is passed."""

    name = "Varnish"
    program = "varnishd"
    modes = frozenset({Mode.REVERSE})
    settings = "every request passed, one thread pool, no log reader"
    version_arguments = ("-V",)

    def prepare(self, folder: Path, port: int, origin: Origin) -> Launch:
        """A manager and its child in the foreground."""
        path = folder / "pass.vcl"
        path.write_text(CONFIGURATION.substitute(origin=origin.http))
        argv: list[str | Path] = [self.path, "-F", "-j", "none", "-n", folder / "state"]
        argv += ["-a", f"127.0.0.1:{port}", "-f", path, "-s", "malloc,64m"]
        argv += ["-p", "thread_pools=1", "-p", "thread_pool_min=100", "-p", "timeout_idle=120"]
        return Launch(argv, {Mode.REVERSE: port})
