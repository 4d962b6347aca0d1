"""Squid as a forward proxy."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from string import Template

from benches.peers.base import Launch, Mode, Origin, Peer

CONFIGURATION = Template(
    """
http_port 127.0.0.1:$port
http_access allow all
cache deny all
cache_mem 0 MB
memory_pools on
access_log none
cache_log $folder/cache.log
cache_store_log none
pid_filename none
coredump_dir $folder
netdb_filename none
read_ahead_gap 1 MB
pinger_enable off
max_filedescriptors 40000
visible_hostname bench
shutdown_lifetime 0 seconds
server_persistent_connections on
client_persistent_connections on
"""
)


class Squid(Peer):
    """Debian's Squid, one process, nothing cached."""

    name = "Squid"
    program = "squid"
    modes = frozenset({Mode.FORWARD, Mode.TUNNEL})
    settings = "one process (`-N`), `cache deny all`, `read_ahead_gap 1 MB`, no access log"
    version_arguments = ("-v",)

    def prepare(self, folder: Path, port: int, origin: Origin) -> Launch:
        """One process in the foreground; it gives up root for the account `proxy`, which must own the folder."""
        path = folder / "squid.conf"
        path.write_text(CONFIGURATION.substitute(port=port, folder=folder))
        if os.geteuid() == 0:
            shutil.chown(folder, "proxy")
        return Launch([self.path, "-N", "-f", path], {Mode.FORWARD: port, Mode.TUNNEL: port})
