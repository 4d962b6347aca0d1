"""The event loop's side of servers that are found: whose sources are followed, and how what they say gets into force.

What is found is laid over the plan as what people add is: without a reload, without touching anything else.
"""

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from reviver.compile import Plan
from reviver.compile import plan as types
from reviver.control.compiled import Compiled
from reviver.control.files import signature
from reviver.control.live import Live
from reviver.control.overlay import Discovered, Overlay, find_pool, planned, pools_of
from reviver.control.proxy import Proxy
from reviver.control.watch import stirrings
from reviver.control.wishes import Wish, wishes_of
from reviver.errors import OperationError

if TYPE_CHECKING:
    from reviver.config.models import Server
    from reviver.discovery import Discoverer

SHOWN = 10
"""Servers that are named on one line."""


@dataclass(slots=True)
class _Follower:
    """One source that is followed."""

    wish: Wish
    discoverer: "Discoverer"
    task: "asyncio.Task[None]"
    in_force: bool = False
    """Whether its pool is that of the running configuration, so that what it finds goes there."""
    waiting: "tuple[Server, ...] | None" = None
    """What it has found before that."""


class Discovery:
    """Of one running proxy."""

    def __init__(self, proxy: Proxy, live: Live, report: Callable[[str], None], ending: asyncio.Event) -> None:
        """Nothing is waited for any more once `ending` is set."""
        self._proxy = proxy
        self._live = live
        self._report = report
        self._ending = ending
        self._following: dict[str, _Follower] = {}
        self._laying = asyncio.Lock()
        """At most one thread waits for the proxy, however many sources have news."""

    # ---- what is followed

    async def begin(self) -> None:
        """Looks for the first time, before anything is served; what is not found in time comes when it comes."""
        wishes = wishes_of(self._proxy.compiled.loaded)
        self._following = await self._follow(wishes)
        for follower in self._following.values():
            follower.in_force = True
        await self._first_looks(self._following)

    @contextlib.asynccontextmanager
    async def reloading(self) -> AsyncIterator[Callable[[Compiled, Overlay], Overlay]]:
        """Around a reload: what it gives lays over the new configuration what is found by it.

        It is called in another thread and waits for the first look of sources that are new, so that the pools that a
        reload brings have servers from the first request on.
        """
        loop = asyncio.get_running_loop()
        wishes: dict[str, Wish] = {}
        begun: dict[str, _Follower] = {}
        laid: dict[str, tuple[Server, ...] | None] = {}
        lines: list[str] = []

        async def look(compiled: Compiled) -> None:
            wishes.update(wishes_of(compiled.loaded))
            news = {name: wish for name, wish in wishes.items() if self._wish_of(name) != wish}
            begun.update(await self._follow(news))
            await self._first_looks(begun)
            laid.update({name: follower.waiting for name, follower in begun.items()})

        def find(compiled: Compiled, overlay: Overlay) -> Overlay:
            asyncio.run_coroutine_threadsafe(look(compiled), loop).result()
            running = {pool["name"]: pool for pool in pools_of(self._proxy.compiled.plan)}
            found = {}
            for name, wish in wishes.items():
                before = overlay.base(running[name]) if name in running else []
                servers = laid.get(name)
                if servers is not None:
                    found[name] = Discovered(wish.source, tuple(planned(server, wish.at) for server in servers))
                    lines.extend(_changes(name, before, found[name].servers))
                elif name in overlay.found:
                    found[name] = overlay.found[name].at(wish.at)
                elif before and not _written(compiled.plan, name):
                    # those that it had go on until there is an answer
                    found[name] = Discovered("", tuple(before)).at(wish.at)
            return overlay.finding(found)

        try:
            yield find
        except BaseException:
            await _end(begun.values())
            raise
        for line in lines:
            self._report(line)
        gone = [follower for name, follower in self._following.items() if name in begun or name not in wishes]
        self._following = {name: follower for name, follower in self._following.items() if follower not in gone} | begun
        await _end(gone)
        for name, wish in wishes.items():
            self._following[name].wish = wish
        for name, follower in begun.items():
            follower.in_force = True
            if follower.waiting is not None and follower.waiting != laid[name]:
                try:
                    await self._take(name, follower.waiting)
                except OperationError as error:
                    self._report(f"pool {name}: {error}")

    async def finish(self) -> None:
        """Looks no more."""
        await _end(self._following.values())
        self._following = {}

    def _wish_of(self, pool: str) -> Wish | None:
        follower = self._following.get(pool)
        return None if follower is None else follower.wish

    async def _follow(self, wishes: Mapping[str, Wish]) -> dict[str, _Follower]:
        if not wishes:
            return {}
        # the libraries take a while to load, and nothing waits for it
        await asyncio.to_thread(importlib.import_module, "reviver.discovery")
        return {name: self._begun(name, wish) for name, wish in wishes.items()}

    def _begun(self, pool: str, wish: Wish) -> _Follower:
        from reviver.config.models.limits import NameServer
        from reviver.discovery import Discoverer, Surroundings, source_of

        servers = [NameServer(server) for server in wish.name_servers]
        source = source_of(wish.discover, pool, Surroundings(wish.base, servers, stirrings, signature))
        follower: _Follower

        async def take(servers: "tuple[Server, ...]") -> None:
            follower.waiting = servers
            if follower.in_force:
                await self._take(pool, servers)

        discoverer = Discoverer(pool, wish.discover, source, take, self._report)
        follower = _Follower(wish, discoverer, asyncio.ensure_future(discoverer.run()))
        follower.task.add_done_callback(partial(self._ended, pool))
        return follower

    def _ended(self, pool: str, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(f"internal error: pool {pool}: discovery has ended: {type(error).__name__}: {error}")

    async def _first_looks(self, followers: Mapping[str, _Follower]) -> None:
        """Waits until all have looked once, each for its own time at most."""
        if not followers:
            return
        waits: list[asyncio.Future[Any]] = [
            asyncio.gather(*map(_looked, followers.values())),
            asyncio.ensure_future(self._ending.wait()),
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    # ---- what is found

    async def _take(self, name: str, servers: "Sequence[Server]") -> None:
        """Puts in force what was found. Raises OperationError."""
        wish = self._following[name].wish
        found = Discovered(wish.source, tuple(planned(server, wish.at) for server in servers))

        def change(overlay: Overlay, plan: Plan) -> tuple[Overlay, tuple[list[types.Server], list[str]]]:
            pool = find_pool(plan, name)
            after = overlay.finding({**overlay.found, name: found})
            return after, (after.of(pool), _changes(name, overlay.base(pool), found.servers))

        async with self._laying:
            left, lines = await asyncio.to_thread(self._proxy.lay, change)
            # one that comes back is another one
            drained = self._live.drained.get(name, set())
            drained.intersection_update(server["address"] for server in left)
            for line in lines:
                self._report(line)
            await self._live.save()

    def shown(self, pool: str) -> dict[str, Any]:
        """Where the servers of a pool come from, and why that fails if it does."""
        follower = self._following.get(pool)
        if follower is None:
            return {"from": "configuration", "failing": None}
        return {"from": follower.wish.discover.kind, "failing": follower.discoverer.failing}


async def _looked(follower: _Follower) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(follower.discoverer.looked.wait(), follower.wish.discover.timeout / 1000)


async def _end(followers: Iterable[_Follower]) -> None:
    tasks = [follower.task for follower in followers]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _written(plan: Plan, pool: str) -> bool:
    return bool(find_pool(plan, pool)["servers"])


def _changes(pool: str, before: Iterable[types.Server], after: Iterable[types.Server]) -> list[str]:
    """What is different, on one line, or on none."""
    old = {server["address"]: server for server in before}
    new = {server["address"]: server for server in after}
    changed = [address for address in new if address in old and _told(new[address]) != _told(old[address])]
    parts = [
        f"{word} {_listed(addresses)}"
        for word, addresses in (
            ("discovered", [address for address in new if address not in old]),
            ("gone", [address for address in old if address not in new]),
            ("changed", [f"{address} ({_told(new[address])})" for address in changed]),
        )
        if addresses
    ]
    return [f"pool {pool}: {'; '.join(parts)}"] if parts else []


def _told(server: types.Server) -> str:
    backup = ", backup" if server["backup"] else ""
    bound = f", at most {server['max_connections']} connections" if server["max_connections"] else ""
    return f"weight {server['weight']}{backup}{bound}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
