"""nginx as a reverse proxy, in two builds."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import ClassVar

from benches.peers.base import Launch, Mode, Origin, Peer

CONFIGURATION = Template(
    """
daemon off;
worker_processes 1;
worker_rlimit_nofile 40000;
error_log stderr error;
pid $folder/nginx.pid;
events { worker_connections 20000; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    upstream origin {
        server 127.0.0.1:$origin;
        keepalive 1024;
        keepalive_requests 1000000000;
    }
    proxy_buffers 16 64k;
    proxy_busy_buffers_size 256k;
    proxy_max_temp_file_size 0;
    proxy_set_header Connection "";
    proxy_set_header Host $$host;
    proxy_set_header X-Forwarded-For $$proxy_add_x_forwarded_for;
    proxy_http_version 1.1;
    ssl_certificate $certificate;
    ssl_certificate_key $certificate;
    ssl_protocols TLSv1.2 TLSv1.3;
    server {
        listen 127.0.0.1:$port backlog=4096;
        location / { proxy_pass http://origin; }
    }
    server {
        $listen_tls
        location / { proxy_pass http://origin; }
    }
    $more
}
"""
)
# HTTP/2 to the origin came with 1.29.4, and `http2` as a directive with 1.25.1
H2 = Template(
    """
    upstream origin_h2 {
        server 127.0.0.1:$origin;
        keepalive 1024;
        keepalive_requests 1000000000;
    }
    server {
        listen 127.0.0.1:$port ssl backlog=4096;
        http2 on;
        location / { proxy_pass http://origin_h2; proxy_http_version 2; }
    }
"""
)
SETTINGS = (
    "one worker, `keepalive 1024` upstream, 16 buffers of 64 KiB, no temporary files, no access log, "
    "adds X-Forwarded-For"
)


class Nginx(Peer):
    """The wheel's nginx: a static build, optimised for size."""

    name = "nginx"
    program = "nginx"
    modes = frozenset({Mode.REVERSE, Mode.TLS, Mode.H2})
    settings = f"built for size (`-Os`, musl); {SETTINGS}"
    version_arguments = ("-v",)
    listen_tls: ClassVar[str] = "listen 127.0.0.1:$port ssl backlog=4096; http2 on;"

    def prepare(self, folder: Path, port: int, origin: Origin) -> Launch:
        """A master and one worker."""
        ports = {Mode.REVERSE: port, Mode.TLS: port + 1, Mode.H2: port + 2}
        ports = {mode: number for mode, number in ports.items() if mode in self.modes}
        path = folder / "nginx.conf"
        text = CONFIGURATION.substitute(
            folder=folder,
            certificate=self.certificate,
            origin=origin.http,
            port=port,
            listen_tls=Template(self.listen_tls).substitute(port=ports[Mode.TLS]),
            more=H2.substitute(origin=origin.h2, port=ports[Mode.H2]) if Mode.H2 in ports else "",
        )
        path.write_text(text)
        return Launch([self.path, "-p", folder, "-e", "stderr", "-c", path], ports)


class DebianNginx(Nginx):
    """Debian's build: older, optimised for speed; no HTTP/2 to the origin."""

    name = "Debian nginx"
    program = "nginx-debian"
    modes = frozenset({Mode.REVERSE, Mode.TLS})
    settings = f"built for speed (`-O2`, glibc); {SETTINGS}"
    listen_tls = "listen 127.0.0.1:$port ssl http2 backlog=4096;"
