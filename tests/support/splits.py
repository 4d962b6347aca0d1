"""Splits in front of named servers, and what `reviver canary` says of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.fleet import Mortal, addresses, fleet
from tests.support.proxy import Config, Proxy, reverse
from tests.support.stream import PATIENCE
from tests.support.wait import until

Row = dict[str, Any]


@dataclass
class Pair:
    """A proxy with a split `shop` and the servers of its two sides."""

    proxy: Proxy
    canary: Mortal
    stable: Mortal

    @property
    def port(self) -> int:
        return self.proxy.port

    def split(self) -> Config:
        """The split as it is written."""
        written: Config = self.proxy.config["reverse"]["splits"]["shop"]
        return written


def tree(pools: dict[str, Sequence[Mortal]], splits: dict[str, Config], **top: Any) -> Config:
    """A configuration whose route `shop` takes the split `shop`, unless `routes` says otherwise."""
    routes = top.pop("routes", [{"name": "shop", "match": {"path": "/*"}, "split": "shop"}])
    extra: Config = top.pop("pool", {})
    config = reverse(
        routes=routes,
        pools={name: {"servers": addresses(servers), **extra} for name, servers in pools.items()},
        **top,
    )
    config["reverse"]["splits"] = splits
    return config


@contextmanager
def canary(top: Config | None = None, *, files: Mapping[str, str] | None = None, **split: Any) -> Iterator[Pair]:
    """One server for each side, called `canary` and `stable`; `files` stand beside the configuration."""
    with fleet(2) as (new, old):
        new.name, old.name = "canary", "stable"
        written: Config = {"stable": "v1", "canary": "v2", **split}
        with Proxy(tree({"v1": [old], "v2": [new]}, {"shop": written}, **(top or {})), files=files) as proxy:
            yield Pair(proxy, new, old)


def status(proxy: Proxy, name: str = "shop") -> Row:
    """One split as `reviver canary status` tells it."""
    done = proxy.cli("canary", "status", name, "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["splits"]
    assert row["name"] == name
    return dict(row)


def weights(proxy: Proxy, name: str = "shop") -> list[int]:
    """In force, in basis points, in the order of the variants."""
    return [variant["weight"] for variant in status(proxy, name)["variants"]]


def wait_weight(proxy: Proxy, wanted: int, seconds: float = PATIENCE) -> None:
    """Waits until the canary has this weight at least: between two looks it may have got further."""
    until(lambda: weights(proxy)[0] >= wanted, f"weight {wanted}", seconds)


def pilot(proxy: Proxy) -> Row:
    """The autopilot of the split, as it is told."""
    return dict(status(proxy)["autopilot"])


def wait_state(proxy: Proxy, wanted: str, seconds: float = 40) -> Row:
    """Waits until the autopilot is in this state; all that is told then."""

    def there() -> Row | None:
        row = pilot(proxy)
        return row if row["state"] == wanted else None

    found = until(there, f"the autopilot to be {wanted}: {pilot(proxy)['verdict']}", seconds)
    assert found
    return found


def steer(proxy: Proxy, *arguments: object) -> Any:
    """A `reviver canary` command that must go well; its answer."""
    done = proxy.cli("canary", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
