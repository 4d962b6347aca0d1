"""Records of names in DNS, by the name servers of the configuration or of the system."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from reviver.config.models.limits import NameServer
from reviver.discovery.answers import SourceError

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver
    from dns.rdata import Rdata

__all__ = ["AGAIN_WHEN_EMPTY", "Names", "Records"]

AGAIN_WHEN_EMPTY = 5.0
"""Seconds after which is asked again at the latest where there was nothing at all: it is there soon, most often."""
SHARE = 0.8
"""Of the time for a look that all tries of one question may take: what comes of the others is to be used in time."""


@dataclass(frozen=True, slots=True)
class Records:
    """What a name has of one type."""

    data: tuple["Rdata", ...]
    ttl: float
    """Seconds that this holds, that there is nothing too (RFC 2308)."""
    exists: bool = True
    """Whether the name is there at all."""


class Names:
    """Asks one question; nothing is remembered."""

    def __init__(self, servers: Sequence[NameServer], timeout: float) -> None:
        """`timeout` is for a look, in seconds. Without `servers` those of the system are asked."""
        self._servers = servers
        self._timeout = timeout * SHARE

    async def look_up(self, name: str, kind: Literal["A", "AAAA", "SRV"]) -> Records:
        """The records of an absolute name: no search domain completes it. Raises SourceError."""
        import dns.asyncbackend
        import dns.exception
        import dns.name
        import dns.resolver

        try:
            # the library bounds its tries, but not its pauses between them
            async with asyncio.timeout(self._timeout):
                answer = await self._resolver().resolve(
                    dns.name.from_text(name),
                    kind,
                    raise_on_no_answer=False,
                    lifetime=self._timeout,
                    backend=dns.asyncbackend.get_backend("asyncio"),
                )
        except dns.resolver.NXDOMAIN:
            return Records((), AGAIN_WHEN_EMPTY, exists=False)
        except (TimeoutError, dns.resolver.LifetimeTimeout):
            raise SourceError(f"{name} {kind}: no answer within {self._timeout:g} s") from None
        except dns.resolver.NoNameservers as error:
            raise SourceError(f"{name} {kind}: {_refusals(error)}") from None
        except (dns.exception.DNSException, OSError) as error:
            raise SourceError(f"{name} {kind}: {error}") from None
        data = () if answer.rrset is None else tuple(answer.rrset)
        return Records(data, float(answer.chaining_result.minimum_ttl))

    def _resolver(self) -> "Resolver":
        """Made anew for each question: the system's name servers change with its networks."""
        import dns.asyncresolver
        import dns.nameserver

        resolver = dns.asyncresolver.Resolver(configure=not self._servers)
        if self._servers:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(server.host, server.port) for server in self._servers]
        # a name server that is down must not take all of the time
        resolver.timeout = self._timeout / 2
        return resolver


def _refusals(error: Exception) -> str:
    """Each name server and what was wrong with it; the library's own text is several lines long."""
    tries = getattr(error, "kwargs", {}).get("errors", [])
    said = dict.fromkeys(f"{_address(place, port)}: {reason}" for place, _, port, reason, _ in tries)
    return "; ".join(said) or "no name server answers"


def _address(place: str, port: int) -> str:
    host = place.removeprefix("Do53:").rpartition("@")[0] or place
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
