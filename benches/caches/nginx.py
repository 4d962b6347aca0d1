"""nginx's cache: files, which the kernel keeps in memory, and keys in shared memory."""

from __future__ import annotations

from pathlib import Path
from string import Template

from benches.caches.base import MIB, Cache, Room

# The manager looks at `max_size` every ten seconds and then deletes a batch at a time: its defaults (100 files, 50 ms)
# are slower than small misses come in. A zone that is full makes the worker delete at once.
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
    sendfile on;
    keepalive_requests 1000000000;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    proxy_cache_path $files/cache levels=1:2 keys_zone=objects:$zone max_size=$bytes inactive=1d use_temp_path=off
        manager_files=1000 manager_sleep=10ms manager_threshold=200ms;
    upstream origin {
        server 127.0.0.1:$origin;
        keepalive 1024;
        keepalive_requests 1000000000;
    }
    proxy_buffers 16 64k;
    proxy_busy_buffers_size 256k;
    proxy_set_header Connection "";
    proxy_set_header Host $$host;
    proxy_set_header X-Forwarded-For $$proxy_add_x_forwarded_for;
    proxy_http_version 1.1;
    proxy_cache objects;
    proxy_cache_lock on;
    server {
        listen 127.0.0.1:$port backlog=4096;
        location / { proxy_pass http://origin; }
    }
}
"""
)
# bytes of shared memory: for any number of keys here, and what one takes
ZONE, KEY = 64 * MIB, 128
SETTINGS = (
    "`proxy_cache` in files (memory is the kernel's page cache), `sendfile on`, `proxy_cache_lock on`, "
    "`manager_files=1000 manager_sleep=10ms`; `max_size` is enforced after the fact, in blocks of the file system"
)


class NginxCache(Cache):
    """The wheel's build."""

    name = "nginx"
    peer = "nginx"
    disk = True
    grows = False
    settings = SETTINGS

    def argv(self, folder: Path, files: Path, port: int, origin: int, room: Room) -> list[str | Path]:
        """A master, one worker, and the manager of the cache."""
        path = folder / "nginx.conf"
        size = room.disk or room.memory
        zone = ZONE if room.objects is None else room.objects * KEY
        path.write_text(
            CONFIGURATION.substitute(folder=folder, files=files, port=port, origin=origin, bytes=size, zone=zone)
        )
        return [self.path, "-p", folder, "-e", "stderr", "-c", path]


class DebianNginxCache(NginxCache):
    """Debian's build."""

    name = "Debian nginx"
    peer = "Debian nginx"
