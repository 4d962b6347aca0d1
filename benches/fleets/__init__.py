"""The peers in front of several servers, in the order in which they stand in tables."""

from __future__ import annotations

from benches.fleets.base import Fleet, Service
from benches.fleets.envoy import EnvoyFleet
from benches.fleets.haproxy import HaproxyFleet
from benches.fleets.reviver import ReviverFleet

FLEETS: tuple[type[Fleet], ...] = (ReviverFleet, HaproxyFleet, EnvoyFleet)

__all__ = ["FLEETS", "EnvoyFleet", "Fleet", "HaproxyFleet", "ReviverFleet", "Service"]
