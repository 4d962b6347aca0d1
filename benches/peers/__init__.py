"""The peers, in the order in which they stand in tables."""

from __future__ import annotations

from benches.peers.base import Launch, Mode, Origin, Peer
from benches.peers.caddy import Caddy
from benches.peers.envoy import Envoy
from benches.peers.haproxy import Haproxy
from benches.peers.nginx import DebianNginx, Nginx
from benches.peers.relay import Relay
from benches.peers.reviver import Reviver
from benches.peers.squid import Squid
from benches.peers.traefik import Traefik
from benches.peers.varnish import Varnish

PEERS: tuple[type[Peer], ...] = (Reviver, Haproxy, Nginx, DebianNginx, Envoy, Traefik, Caddy, Varnish, Squid, Relay)

__all__ = ["PEERS", "Launch", "Mode", "Origin", "Peer"]
