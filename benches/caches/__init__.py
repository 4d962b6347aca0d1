"""The peers with their caches on, in the order in which they stand in tables."""

from __future__ import annotations

from benches.caches.base import MIB, Cache, Room
from benches.caches.haproxy import HaproxyCache
from benches.caches.nginx import DebianNginxCache, NginxCache
from benches.caches.reviver import ReviverCache, ReviverPlain
from benches.caches.squid import SquidCache
from benches.caches.varnish import VarnishCache

CACHES: tuple[type[Cache], ...] = (
    ReviverCache,
    ReviverPlain,
    HaproxyCache,
    NginxCache,
    DebianNginxCache,
    VarnishCache,
    SquidCache,
)

__all__ = ["CACHES", "MIB", "Cache", "Room"]
