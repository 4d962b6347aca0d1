"""What people and autopilots change while the proxy runs, and how it is kept: drained servers, weights, servers.

Everything here is of the event loop's thread; only the overlay is the proxy's, which changes it under its own lock.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from reviver.compile import Plan
from reviver.control.overlay import pools_of
from reviver.control.proxy import Proxy
from reviver.control.state import SplitRecord, State, StateFile, splits_of, written_of
from reviver.errors import OperationError


class Live:
    """Of one running proxy."""

    def __init__(self, proxy: Proxy, state: State, file: StateFile | None, report: Callable[[str], None]) -> None:
        """`state` is what was kept; its overlay is the proxy's already. Without a file nothing outlives the process."""
        self._proxy = proxy
        self._file = file
        self._report = report
        self.drained = state.drained
        """Addresses by pool."""
        self.splits = state.splits
        """Those that differ from what is written, or have an autopilot."""
        self._saving = asyncio.Lock()
        self._unsaved: str | None = None

    def put_back(self) -> None:
        """Drains and weighs as it was, for what the configuration still has; at the start, and after each reload.

        A reload keeps weights where the written ones are the same, also when they are of other pools by now; those of
        other pools are not: a new canary is not given what the last one had earned.
        """
        plan = self._proxy.compiled.plan
        self._forget(plan)
        plane = self._proxy.plane
        # one that drains already is not told of again
        pools = plane.pool_status()["pools"] if self.drained else []
        for pool in pools:
            for server in pool["servers"]:
                if server["address"] in self.drained.get(pool["name"], ()) and server["state"] != "draining":
                    self._try(partial(plane.pool_drain, pool["name"], server["address"], True))
        splits = splits_of(plan)
        if not splits:
            return
        status = {split["name"]: split for split in plane.split_status()["splits"]}
        for split in splits:
            name = split["name"]
            record = self.splits.get(name)
            wanted = None if record is None else record.weights
            if wanted is None:
                wanted = [variant["weight"] for variant in split["variants"]]
            if name in status and wanted != [variant["weight"] for variant in status[name]["variants"]]:
                self._try(partial(plane.split_set, name, wanted))

    def written(self, name: str) -> list[list[Any]]:
        """The variants of a split as the configuration has them. Raises KeyError where there is none."""
        plan = self._proxy.compiled.plan
        for split in splits_of(plan):
            if split["name"] == name:
                return written_of(split, plan)
        raise KeyError(name)

    def record(self, name: str) -> SplitRecord:
        """What is kept of a split. Raises KeyError where there is none."""
        if name not in self.splits:
            self.splits[name] = SplitRecord(self.written(name))
        return self.splits[name]

    def set_weights(self, name: str, weights: Sequence[int]) -> None:
        """Puts weights in force, and remembers them; `save` comes after it. Raises KeyError or OperationError."""
        record = self.record(name)
        self._proxy.plane.split_set(name, weights)
        record.weights = None if list(weights) == [weight for *_, weight in record.written] else list(weights)
        if record.weights is None and record.autopilot is None:
            del self.splits[name]

    async def save(self) -> None:
        """Keeps it for the next start. That this is not possible is told once, and is no error."""
        if self._file is None:
            return
        async with self._saving:
            state = State(self._proxy.overlay, self.drained, self.splits)
            table, keep = state.as_dict(), bool(state)
            try:
                await asyncio.to_thread(self._file.save, table, keep=keep)
            except OperationError as error:
                if str(error) != self._unsaved:
                    self._unsaved = str(error)
                    self._report(f"what is changed at run time will not outlive this process: {error}")
            else:
                self._unsaved = None if keep else self._unsaved

    def _forget(self, plan: Plan) -> None:
        """What the configuration no longer has, or what means something else by now."""
        overlay = self._proxy.overlay
        there = {pool["name"]: {server["address"] for server in overlay.of(pool)} for pool in pools_of(plan)}
        self.drained = {
            pool: left for pool, servers in self.drained.items() if (left := servers & there.get(pool, set()))
        }
        written: Mapping[str, Any] = {split["name"]: written_of(split, plan) for split in splits_of(plan)}
        self.splits = {name: item for name, item in self.splits.items() if written.get(name) == item.written}

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OperationError as error:
            self._report(str(error))
