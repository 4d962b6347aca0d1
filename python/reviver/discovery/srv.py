"""Servers are the SRV records of a service (RFC 2782)."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import NamedTuple

from pydantic_core import PydanticCustomError

from reviver.config.models import Discover, Server
from reviver.config.values import Address
from reviver.discovery.answers import Answer, Found
from reviver.discovery.names import AGAIN_WHEN_EMPTY, Names
from reviver.discovery.polling import Sleep, polled_by_ttl

__all__ = ["Record", "Services", "offered"]

MOST = 1000
"""The largest weight that a server may have."""


class Record(NamedTuple):
    """One SRV record."""

    priority: int
    weight: int
    port: int
    target: str


class Services:
    """SRV records of one name. Targets are names, which the data plane looks up like those of written servers."""

    def __init__(self, discover: Discover, names: Names, sleep: Sleep = asyncio.sleep) -> None:
        assert discover.srv is not None
        self._name = discover.srv
        self._discover = discover
        self._names = names
        self._sleep = sleep

    def answers(self) -> AsyncGenerator[Answer, None]:
        """Asks again when the first of the records is no longer valid."""
        return polled_by_ttl(self._look, self._discover, self._sleep)

    async def _look(self) -> tuple[Found, float]:
        told = await self._names.look_up(self._name, "SRV")
        if not told.exists:
            return Found((), (f"there is no name {self._name}",)), told.ttl
        fields = [record.to_text().split() for record in told.data]
        records = [Record(int(a), int(b), int(c), target) for a, b, c, target in fields]
        found = offered(records, self._discover.max_connections)
        return found, told.ttl if found.servers else min(told.ttl, AGAIN_WHEN_EMPTY)


def offered(records: Iterable[Record], max_connections: int) -> Found:
    """The servers that the records name.

    Those of the lowest priority are the primaries, the others stand in for them: there are two tiers. A target `.`
    says that there is no service. Weights above what a server may have are scaled down, all in proportion; 0 is 1.
    """
    records = sorted(records, key=lambda record: (record.priority, record.target, record.port))
    offers = [record for record in records if record.target != "."]
    if not offers:
        return Found((), ("the service is said not to be available there",) if records else ())
    first, heaviest = offers[0].priority, max(record.weight for record in offers)
    servers: dict[str, Server] = {}
    notes = []
    for record in offers:
        try:
            address = Address.read(f"{record.target.removesuffix('.')}:{record.port}")
        except PydanticCustomError as error:
            notes.append(f"a record is left out: {error.context['sentence'] if error.context else error}")
            continue
        weight = round(record.weight * MOST / heaviest) if heaviest > MOST else record.weight
        server = Server(
            address=address, weight=max(1, weight), backup=record.priority > first, max_connections=max_connections
        )
        # one that is named twice is as the lower priority has it
        servers.setdefault(address, server)
    return Found(tuple(servers.values()), tuple(notes))
