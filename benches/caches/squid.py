"""Squid as an accelerator."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from string import Template

from benches.caches.base import MIB, Cache, Room

CONFIGURATION = Template(
    """
http_port 127.0.0.1:$port accel defaultsite=bench.example no-vhost
http_access allow all
cache_peer 127.0.0.1 parent $origin 0 no-query no-digest no-netdb-exchange originserver
never_direct allow all
cache_mem $mebibytes MB
memory_cache_mode always
maximum_object_size_in_memory 1 MB
memory_replacement_policy lru
collapsed_forwarding on
memory_pools on
access_log none
cache_log $folder/cache.log
cache_store_log none
pid_filename none
coredump_dir $folder
netdb_filename none
pinger_enable off
max_filedescriptors 40000
visible_hostname bench
shutdown_lifetime 0 seconds
server_persistent_connections on
client_persistent_connections on
"""
)


class SquidCache(Cache):
    """Memory only, least recently used."""

    name = "Squid"
    peer = "Squid"
    settings = "one process, `accel`, `cache_mem` as the scenario says, `collapsed_forwarding on`, no access log"

    def argv(self, folder: Path, files: Path, port: int, origin: int, room: Room) -> list[str | Path]:
        """One process in the foreground; it gives up root for the account `proxy`, which must own the folder."""
        path = folder / "squid.conf"
        path.write_text(CONFIGURATION.substitute(port=port, origin=origin, mebibytes=room.memory // MIB, folder=folder))
        if os.geteuid() == 0:
            shutil.chown(folder, "proxy")
        return [self.path, "-N", "-f", path]
