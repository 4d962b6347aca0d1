"""From what a configuration names to what looks there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reviver.config.models import Discover
from reviver.config.models.limits import NameServer
from reviver.discovery.answers import Source
from reviver.discovery.file import Signature, Stirrings, WatchedFile

__all__ = ["NEEDED", "Surroundings", "source_of"]

_DNS = (
    "dns._asyncio_backend", "dns.asyncresolver", "dns.rdtypes.ANY.CNAME", "dns.rdtypes.ANY.DNAME",
    "dns.rdtypes.ANY.NS", "dns.rdtypes.ANY.OPT", "dns.rdtypes.ANY.SOA", "dns.rdtypes.IN.A", "dns.rdtypes.IN.AAAA",
    "dns.rdtypes.IN.SRV",
)  # fmt: skip
_FILE = (
    "encodings.utf_8_sig", "reviver.config.formats.json", "reviver.config.formats.toml", "reviver.config.formats.yaml",
    "watchfiles",
)  # fmt: skip
_HTTP = ("anyio._backends._asyncio", "anyio.streams.tls", "httpcore._async.http11", "httpx", "ssl")
NEEDED = {"dns": _DNS, "srv": _DNS, "file": _FILE, "http": _HTTP, "docker": _HTTP}
"""Modules that each kind of source loads, in part only when it is used."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a source needs beside its own table."""

    base: Path
    """The folder that paths are relative to."""
    name_servers: Sequence[NameServer]
    stirrings: Stirrings
    signature: Signature


def source_of(discover: Discover, pool: str, around: Surroundings) -> Source:
    """The source of one pool. Its library is loaded here or when it first looks."""
    timeout = discover.timeout / 1000
    match discover.kind:
        case "dns" | "srv":
            from reviver.discovery.dns import Addresses
            from reviver.discovery.names import Names
            from reviver.discovery.srv import Services

            names = Names(around.name_servers, timeout)
            return Addresses(discover, names) if discover.dns is not None else Services(discover, names)
        case "http":
            from reviver.discovery.http import Endpoint

            return Endpoint(discover)
        case "docker":
            from reviver.discovery.docker import Containers

            assert discover.docker is not None
            return Containers(discover, pool, around.base / discover.docker.socket)
    assert discover.file is not None
    return WatchedFile(around.base / discover.file, around.stirrings, around.signature, discover.max_connections)
