"""Mirrors in front of named servers, and what `reviver canary diff` says of them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.fleet import Mortal, addresses, fleet
from tests.support.origin import Request
from tests.support.proxy import Config, Proxy, reverse
from tests.support.wait import until

Row = dict[str, Any]


@dataclass
class Mirrored:
    """A proxy whose route `all` is answered by one server and copied to another."""

    proxy: Proxy
    people: Mortal
    mirror: Mortal

    @property
    def port(self) -> int:
        return self.proxy.port

    @property
    def route(self) -> Config:
        """The route as it is written."""
        written: Config = self.proxy.config["reverse"]["routes"][0]
        return written

    def copied(self, count: int) -> list[Request]:
        """The requests that the mirror got, when there are exactly so many of them; more never come."""
        return copies(self.proxy, self.mirror, count)


@contextmanager
def mirrored(top: Config | None = None, *, pool: Config | None = None, **mirror: Any) -> Iterator[Mirrored]:
    """One server for each side, called `people` and `mirror`; keys of the mirror's pool in `pool`."""
    with fleet(2) as (people, other):
        people.name, other.name = "people", "mirror"
        pools = {
            "v1": {"servers": addresses([people])},
            "v2": {"servers": addresses([other]), **(pool or {})},
        }
        route = {"name": "all", "match": {"path": "/*"}, "pool": "v1", "mirror": {"to": "v2", **mirror}}
        with Proxy(reverse(routes=[{**route, **(top or {}).pop("route", {})}], pools=pools, **(top or {}))) as proxy:
            yield Mirrored(proxy, people, other)


def diff(proxy: Proxy, name: str = "all") -> Row:
    """One mirror as `reviver canary diff` tells it."""
    done = proxy.cli("canary", "diff", name, "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["mirrors"]
    assert row["name"] == name
    return dict(row)


def wait_diff(proxy: Proxy, wanted: Callable[[Row], object], name: str = "all") -> Row:
    """Waits until what is told of a mirror is as wanted."""

    def there() -> Row | None:
        row = diff(proxy, name)
        return row if wanted(row) else None

    found = until(there, f"another report than {diff(proxy, name)}")
    assert found
    return found


def compared(proxy: Proxy, count: int, name: str = "all") -> Row:
    """Waits until so many answers have been compared."""
    return wait_diff(proxy, lambda row: row["compared"] + row["unanswered"] == count, name)


def copies(proxy: Proxy, mirror: Mortal, count: int, name: str = "all") -> list[Request]:
    """Waits until a mirror has got all that was copied, which is exactly so many requests."""
    until(lambda: len(mirror.requests) >= count and all_read(mirror), f"{count} copies, not {len(mirror.requests)}")
    assert diff(proxy, name)["copied"] == count
    assert len(mirror.requests) == count
    return list(mirror.requests)


def all_read(origin: Mortal) -> bool:
    """Whether each request with a body is here to its end."""
    framing = {"content-length", "transfer-encoding"}
    return all(request.complete or not framing & request.fields.names() for request in list(origin.requests))


def found(row: Row) -> set[tuple[str, str, str, int]]:
    """What differs: what, what people get, what the mirror answers, how often."""
    return {(item["what"], item["answered"], item["mirrored"], item["count"]) for item in row["differences"]}
