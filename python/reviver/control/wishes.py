"""What the configuration wants to be found, before and without anybody looking for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from reviver.compile import plan as types
from reviver.config import Loaded
from reviver.control.compiled import Compiled
from reviver.control.overlay import Discovered, Overlay

if TYPE_CHECKING:
    from reviver.config.models import Discover


@dataclass(frozen=True, slots=True)
class Wish:
    """What the configuration wants to be found for one pool."""

    discover: "Discover"
    base: Path
    """The folder that paths are relative to."""
    name_servers: tuple[str, ...]
    at: str = field(compare=False)
    """The place where it stands. The only thing that may change without looking anew."""

    @property
    def source(self) -> str:
        """What is looked at, as a person names it."""
        return str(self.discover)


def wishes_of(loaded: Loaded) -> dict[str, Wish]:
    """Those of a configuration, by pool."""
    config, positions = loaded.config, loaded.positions
    pools = {} if config.reverse is None else config.reverse.pools
    return {
        name: Wish(
            pool.discover,
            loaded.base,
            tuple(config.resolver.servers),
            positions.place(("reverse", "pools", name, "discover")),
        )
        for name, pool in pools.items()
        if pool.discover is not None
    }


def last_known(overlay: Overlay, wishes: Mapping[str, Wish]) -> Overlay:
    """With those servers that were found where the configuration looks now."""
    there = {name: overlay.found[name] for name in wishes if name in overlay.found}
    return overlay.finding(
        {name: found.at(wishes[name].at) for name, found in there.items() if found.source == wishes[name].source}
    )


def needed(loaded: Loaded) -> list[str]:
    """Modules that sources of the configuration load later."""
    wishes = wishes_of(loaded)
    if not wishes:
        return []
    from reviver.discovery.sources import NEEDED

    homes = [f"reviver.discovery.{name}" for name in ("dns", "docker", "http", "names", "srv")]
    return [*homes, *(module for wish in wishes.values() for module in NEEDED[wish.discover.kind])]


def with_stand_ins(compiled: Compiled) -> tuple[Compiled, dict[str, str]]:
    """With one server in each pool whose servers are found, and for what each of these addresses stands."""
    names: dict[str, str] = {}
    found: dict[str, Discovered] = {}
    for number, (pool, wish) in enumerate(wishes_of(compiled.loaded).items()):
        # no name of that kind is ever there (RFC 2606)
        address = f"{number}.discovered.invalid:1"
        names[address] = wish.source
        server: types.Server = {
            "address": address, "at": wish.at, "weight": 1, "backup": False, "max_connections": 0,
        }  # fmt: skip
        found[pool] = Discovered(wish.source, (server,))
    return compiled.under(Overlay(found=found)), names
