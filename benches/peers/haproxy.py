"""HAProxy as a reverse proxy, and as a forward proxy for absolute-form requests."""

from __future__ import annotations

from pathlib import Path
from string import Template

from benches.peers.base import Launch, Mode, Origin, Peer
from benches.toolbox import Toolbox

CONFIGURATION = Template(
    """
global
    nbthread 1
    maxconn 12000
    no strict-limits
    tune.pipesize 1048576
defaults
    mode http
    option splice-response
    http-reuse always
    timeout connect 5s
    timeout client 120s
    timeout server 60s
frontend reverse
    bind 127.0.0.1:$reverse backlog 4096
    option forwardfor
    default_backend origin
frontend tls
    bind 127.0.0.1:$tls backlog 4096 ssl crt $certificate alpn h2,http/1.1
    option forwardfor
    default_backend origin
frontend h2
    bind 127.0.0.1:$h2 backlog 4096 ssl crt $certificate alpn h2,http/1.1
    option forwardfor
    default_backend origin_h2
backend origin
    server origin 127.0.0.1:$origin pool-max-conn 1024
backend origin_h2
    server origin 127.0.0.1:$origin_h2 proto h2 pool-max-conn 1024
frontend forward
    bind 127.0.0.1:$forward backlog 4096
    http-request set-dst url_ip
    http-request set-dst-port url_port
    http-request set-uri %[pathq]
    default_backend anywhere
backend anywhere
    server anywhere 0.0.0.0:0 pool-max-conn 1024
"""
)


class Haproxy(Peer):
    """HAProxy forwards absolute-form requests whose host is an address; it has no CONNECT."""

    name = "HAProxy"
    program = "haproxy"
    modes = frozenset({Mode.REVERSE, Mode.FORWARD, Mode.TLS, Mode.H2})
    settings = (
        "one thread, `http-reuse always`, 1024 idle upstream connections kept, `option splice-response` with pipes of "
        "1 MiB, no log, adds X-Forwarded-For"
    )
    version_arguments = ("-v",)

    def __init__(self, toolbox: Toolbox) -> None:
        super().__init__(toolbox)
        # the wheel brings the libraries that it was linked with
        self.environment = {"LD_LIBRARY_PATH": str(self.path.parent / "lib")}

    def prepare(self, folder: Path, port: int, origin: Origin) -> Launch:
        """One process in the foreground."""
        path = folder / "haproxy.cfg"
        text = CONFIGURATION.substitute(
            reverse=port,
            forward=port + 1,
            tls=port + 2,
            h2=port + 3,
            origin=origin.http,
            origin_h2=origin.h2,
            certificate=self.certificate,
        )
        path.write_text(text)
        ports = {Mode.REVERSE: port, Mode.FORWARD: port + 1, Mode.TLS: port + 2, Mode.H2: port + 3}
        return Launch([self.path, "-db", "-f", path], ports, self.environment)
