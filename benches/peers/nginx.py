"""nginx as a reverse proxy."""

from __future__ import annotations

from pathlib import Path
from string import Template

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
        keepalive 128;
        keepalive_requests 1000000000;
    }
    server {
        listen 127.0.0.1:$port backlog=4096;
        location / {
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_buffers 16 64k;
            proxy_busy_buffers_size 256k;
            proxy_max_temp_file_size 0;
            proxy_set_header Connection "";
            proxy_set_header Host $$host;
            proxy_set_header X-Forwarded-For $$proxy_add_x_forwarded_for;
        }
    }
}
"""
)


class Nginx(Peer):
    """The wheel's nginx: a static build, optimised for size."""

    name = "nginx"
    program = "nginx"
    modes = frozenset({Mode.REVERSE})
    settings = (
        "one worker, `keepalive 128` upstream, 16 buffers of 64 KiB, no temporary files, no access log, "
        "adds X-Forwarded-For"
    )
    version_arguments = ("-v",)

    def prepare(self, folder: Path, port: int, origin: Origin) -> Launch:
        """A master and one worker."""
        path = folder / "nginx.conf"
        path.write_text(CONFIGURATION.substitute(folder=folder, port=port, origin=origin.http))
        return Launch([self.path, "-p", folder, "-e", "stderr", "-c", path], {Mode.REVERSE: port})
