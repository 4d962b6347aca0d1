"""Servers that were found, added and removed while the proxy runs: laid over each plan that the engine gets.

What the configuration says by then is no longer kept here: an added server that it names, a removed one that it does
not. In a pool whose servers are found both stay: what is found today need not be found tomorrow.
"""

import difflib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NoReturn

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from reviver.compile import Plan
from reviver.compile import plan as types
from reviver.config.models import Server
from reviver.config.values import Address
from reviver.errors import OperationError

AT = "added at run time"
"""Stands in a plan for the place where a server was written."""


@dataclass(frozen=True, slots=True)
class PoolChange:
    """What is different in one pool."""

    added: tuple[types.Server, ...] = ()
    removed: frozenset[str] = frozenset()

    def over(self, servers: Iterable[types.Server]) -> list[types.Server]:
        """The servers of the configuration with this change."""
        kept = [server for server in servers if server["address"] not in self.removed]
        there = {server["address"] for server in kept}
        return [*kept, *(server for server in self.added if server["address"] not in there)]


@dataclass(frozen=True, slots=True)
class Discovered:
    """The servers of one pool as they were found."""

    source: str
    """Where, as a person names it; another one tells nothing of the same servers."""
    servers: tuple[types.Server, ...]

    def at(self, place: str) -> "Discovered":
        """The same, by what stands at another place of the configuration."""
        return replace(self, servers=tuple({**server, "at": place} for server in self.servers))


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is different, by pool. Never changed: each change makes another."""

    pools: Mapping[str, PoolChange] = field(default_factory=dict)
    """What people have changed."""
    found: Mapping[str, Discovered] = field(default_factory=dict)
    """What stands in place of the servers that the configuration has."""

    def __bool__(self) -> bool:
        return bool(self.pools or self.found)

    def over(self, plan: Plan) -> Plan:
        """The plan with what was changed."""
        reverse = plan["reverse"]
        if not self or reverse is None:
            return plan
        pools: list[types.Pool] = [{**pool, "servers": self.of(pool)} for pool in reverse["pools"]]
        return {**plan, "reverse": {**reverse, "pools": pools}}

    def of(self, pool: types.Pool) -> list[types.Server]:
        """The servers of a pool of the configuration with what was changed; none only where there are none anyway."""
        change, base = self.pools.get(pool["name"]), self.base(pool)
        return base if change is None else change.over(base) or base

    def base(self, pool: types.Pool) -> list[types.Server]:
        """The servers of a pool but for what people have changed: those that were found, or the written ones."""
        found = self.found.get(pool["name"])
        return pool["servers"] if found is None else list(found.servers)

    def finding(self, found: Mapping[str, Discovered]) -> "Overlay":
        """With other servers that were found; of pools that are left out what is written holds."""
        return replace(self, found=found)

    def origin(self, pool: str, address: str) -> Literal["configuration", "discovery", "command"]:
        """What a server of a pool is there by."""
        found = self.found.get(pool)
        if found is not None and any(server["address"] == address for server in found.servers):
            return "discovery"
        return "command" if address in self.added(pool) else "configuration"

    def added(self, pool: str) -> frozenset[str]:
        """The addresses that the configuration does not name."""
        return frozenset(server["address"] for server in self.pools.get(pool, PoolChange()).added)

    def removed(self, pool: str) -> list[str]:
        """The addresses that only the configuration names."""
        return sorted(self.pools.get(pool, PoolChange()).removed)

    def pruned(self, plan: Plan) -> tuple["Overlay", list[str]]:
        """What another configuration leaves of it, and a sentence for each thing that is dropped."""
        pools = {pool["name"]: pool for pool in pools_of(plan)}
        left: dict[str, PoolChange] = {}
        notes: list[str] = []
        for name, change in self.pools.items():
            if name not in pools:
                notes.append(f"pool {name} is gone, and with it what was changed of its servers at run time")
                continue
            if name in self.found:
                left[name] = change
                continue
            named = {server["address"] for server in pools[name]["servers"]}
            added = tuple(server for server in change.added if server["address"] not in named)
            removed = change.removed & named
            if not added and removed == named:
                listed = ", ".join(sorted(removed))
                notes.append(f"pool {name}: {listed} is there again: nothing else is left")
                removed = frozenset()
            if added or removed:
                left[name] = PoolChange(added, removed)
        return Overlay(left, {name: found for name, found in self.found.items() if name in pools}), notes

    def adding(self, plan: Plan, pool: str, server: Mapping[str, Any]) -> tuple["Overlay", types.Server]:
        """With one more server: `address`, and of `weight`, `backup` and `max_connections` what is not the default.

        One of the configuration that was removed comes back as it is written there. Raises OperationError.
        """
        written = find_pool(plan, pool)
        wanted = {key: value for key, value in server.items() if value is not None}
        made = _server(wanted)
        address = made["address"]
        if any(address == there["address"] for there in self.of(written)):
            raise OperationError(f"pool {pool} has {address} already")
        change = self.pools.get(pool, PoolChange())
        if address in change.removed:
            change = PoolChange(change.added, change.removed - {address})
            back = next((there for there in self.base(written) if there["address"] == address), None)
            if back is None:
                # it was found when it was removed, and is not at present
                return self._with(pool, PoolChange((*change.added, made), change.removed)), made
            for key, value in wanted.items():
                if key != "address" and value != back.get(key):
                    raise OperationError(
                        f"{address} comes back as the configuration has it, at {back['at']}: "
                        f"leave out {key} ({_said(back.get(key))} there)"
                    )
            return self._with(pool, change), back
        return self._with(pool, PoolChange((*change.added, made), change.removed)), made

    def removing(self, plan: Plan, pool: str, server: str) -> tuple["Overlay", str]:
        """Without one of the servers, and its address. Raises OperationError."""
        written = find_pool(plan, pool)
        there = self.of(written)
        address = find_server(pool, there, server)
        if len(there) == 1:
            raise OperationError(f"{address} is the last server of pool {pool}: add another one first")
        change = self.pools.get(pool, PoolChange())
        added = tuple(item for item in change.added if item["address"] != address)
        named = any(item["address"] == address for item in self.base(written))
        removed = change.removed | ({address} if named else set())
        return self._with(pool, PoolChange(added, removed)), address

    def as_dict(self) -> dict[str, Any]:
        """As JSON; `read` is the way back."""
        tables: dict[str, dict[str, Any]] = {}
        for name in sorted({*self.pools, *self.found}):
            change = self.pools.get(name, PoolChange())
            tables[name] = {"added": _as_written(change.added), "removed": sorted(change.removed)}
            if (found := self.found.get(name)) is not None:
                tables[name]["found"] = {"source": found.source, "servers": _as_written(found.servers)}
        return tables

    @classmethod
    def read(cls, table: Mapping[str, Any]) -> "Overlay":
        """Raises TypeError, KeyError, ValueError or AttributeError where it is not of that form."""
        pools, found = {}, {}
        try:
            for name, change in table.items():
                made = PoolChange(_read(change["added"]), frozenset(map(str, change["removed"])))
                if made.added or made.removed:
                    pools[str(name)] = made
                if (there := change.get("found")) is not None:
                    found[str(name)] = Discovered(str(there["source"]), _read(there["servers"]))
        except OperationError as error:
            raise ValueError(str(error)) from None
        return cls(pools, found)

    def _with(self, pool: str, change: PoolChange) -> "Overlay":
        rest = {name: other for name, other in self.pools.items() if name != pool}
        return replace(self, pools={**rest, pool: change} if change.added or change.removed else rest)


def pools_of(plan: Plan) -> list[types.Pool]:
    """The pools of a plan."""
    return [] if plan["reverse"] is None else plan["reverse"]["pools"]


def find_pool(plan: Plan, name: str) -> types.Pool:
    """The pool of that name. Raises OperationError."""
    pools = {pool["name"]: pool for pool in pools_of(plan)}
    if name not in pools:
        unknown(f"there is no pool {name}", name, pools)
    return pools[name]


def find_server(pool: str, servers: Iterable[types.Server], name: str) -> str:
    """The address of the server that is meant, as the plan has it. Raises OperationError."""
    addresses = [server["address"] for server in servers]
    with suppress(PydanticCustomError):
        name = str(Address.read(name))
    if name in addresses:
        return name
    unknown(f"pool {pool} has no server {name}", name, addresses)


def unknown(sentence: str, name: str, known: Iterable[str]) -> NoReturn:
    """Raises OperationError with the name that may be meant, or with those that there are."""
    names = list(known)
    close = difflib.get_close_matches(name, names, 1)
    if close:
        raise OperationError(f"{sentence} (did you mean {close[0]}?)")
    some = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    raise OperationError(f"{sentence} ({f'there are: {some}' if names else 'there is none'})")


def _server(written: Mapping[str, Any]) -> types.Server:
    """By the rules of the configuration. Raises OperationError."""
    try:
        server = Server.model_validate(written)
    except ValidationError as error:
        raise OperationError("; ".join(_sentence(detail) for detail in error.errors(include_url=False))) from None
    return planned(server, AT)


def planned(server: Server, at: str) -> types.Server:
    """A server as a plan has it. `at` stands for the place where it was written."""
    return {
        "address": str(server.address),
        "at": at,
        "weight": server.weight,
        "backup": server.backup,
        "max_connections": server.max_connections,
    }


def _read(servers: Iterable[Mapping[str, Any]]) -> tuple[types.Server, ...]:
    return tuple(_server(dict(server)) for server in servers)


def _as_written(servers: Iterable[types.Server]) -> list[dict[str, Any]]:
    return [{key: value for key, value in server.items() if key != "at"} for server in servers]


def _sentence(detail: Any) -> str:
    context = detail.get("ctx", {})
    if detail["type"] != "refused":
        return f"{'.'.join(map(str, detail['loc']))}: {detail['msg'][:1].lower()}{detail['msg'][1:]}"
    return f"{context['sentence']} ({context['hint']})" if context["hint"] else str(context["sentence"])


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
