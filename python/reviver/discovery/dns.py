"""Servers are the addresses that a name has."""

import asyncio
import ipaddress
from collections.abc import AsyncGenerator
from typing import Literal

from reviver.config.models import Discover, Server
from reviver.config.values import Address
from reviver.discovery.answers import Answer, Found, SourceError
from reviver.discovery.names import AGAIN_WHEN_EMPTY, Names, Records
from reviver.discovery.polling import Sleep, polled_by_ttl

__all__ = ["Addresses", "addressed"]

FAMILIES: tuple[Literal["A", "AAAA"], ...] = ("A", "AAAA")


class Addresses:
    """A and AAAA of one name."""

    def __init__(self, discover: Discover, names: Names, sleep: Sleep = asyncio.sleep) -> None:
        assert discover.dns is not None
        self._address = discover.dns
        self._discover = discover
        self._names = names
        self._sleep = sleep
        self._known: dict[str, tuple[str, ...]] = {}

    def answers(self) -> AsyncGenerator[Answer, None]:
        """Asks again when the first of the records is no longer valid."""
        return polled_by_ttl(self._look, self._discover, self._sleep)

    async def _look(self) -> tuple[Found, float]:
        """Raises SourceError where neither question is answered.

        Where only one is, the addresses that were known of the other family stay: that half of them is gone was not
        said.
        """
        questions = [self._names.look_up(self._address.host, family) for family in FAMILIES]
        answers = dict(zip(FAMILIES, await asyncio.gather(*questions, return_exceptions=True), strict=True))
        told = {family: answer for family, answer in answers.items() if isinstance(answer, Records)}
        if not told:
            errors = [error for error in answers.values() if isinstance(error, BaseException)]
            raise errors[0]
        for error in answers.values():
            if isinstance(error, BaseException) and not isinstance(error, SourceError):
                raise error
        for family, records in told.items():
            self._known[family] = tuple(record.to_text() for record in records.data)
        addresses = [address for family in FAMILIES for address in self._known.get(family, ())]
        ttl = min(records.ttl for records in told.values())
        if len(told) < len(FAMILIES) or not addresses:
            ttl = min(ttl, AGAIN_WHEN_EMPTY)
        there = any(records.exists for records in told.values())
        notes = () if there else (f"there is no name {self._address.host}",)
        return Found(addressed(addresses, self._address.port, self._discover.max_connections), notes), ttl


def addressed(addresses: list[str], port: int, max_connections: int) -> tuple[Server, ...]:
    """A server for each address. Name servers shuffle them: IPv4 first, each family in its order."""
    parsed = sorted({ipaddress.ip_address(address) for address in addresses}, key=lambda ip: (ip.version, int(ip)))
    texts = [f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}" for ip in parsed]
    return tuple(Server(address=Address.read(text), max_connections=max_connections) for text in texts)
