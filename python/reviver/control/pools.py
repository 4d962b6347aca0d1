"""The event loop's side of pools: what commands ask of them."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from reviver.control import protocol
from reviver.control.discovery import Discovery
from reviver.control.live import Live
from reviver.control.overlay import Overlay, find_pool, find_server
from reviver.control.proxy import Proxy
from reviver.control.server import Progress

TAKING = ("up", "warming")
"""States of servers that get requests like any other."""


class Pools:
    """Of one running proxy."""

    def __init__(self, proxy: Proxy, live: Live, discovery: Discovery, report: Callable[[str], None]) -> None:
        self._proxy = proxy
        self._live = live
        self._discovery = discovery
        self._report = report

    async def status(self, message: Mapping[str, Any], _: Progress) -> dict[str, Any]:
        """Each pool, or the one that is named, with its servers; and what is not as the configuration has it."""
        wanted = protocol.request_of(message).get("pool")
        if wanted is not None:
            find_pool(self._proxy.compiled.plan, wanted)
        overlay = self._proxy.overlay
        pools = self._proxy.plane.pool_status()["pools"]
        shown = [_shown(pool, overlay) for pool in pools if wanted in (None, pool["name"])]
        return {"pools": [{**pool, **self._discovery.shown(pool["name"])} for pool in shown]}

    async def drain(self, message: Mapping[str, Any], _: Progress) -> dict[str, Any]:
        """Gives a server no new requests."""
        return await self._drain(message, drained=True)

    async def restore(self, message: Mapping[str, Any], _: Progress) -> dict[str, Any]:
        """Gives a drained server requests again."""
        return await self._drain(message, drained=False)

    async def _drain(self, message: Mapping[str, Any], *, drained: bool) -> dict[str, Any]:
        request = protocol.request_of(message)
        name = protocol.text_of(request, "pool")
        pool = find_pool(self._proxy.compiled.plan, name)
        server = find_server(name, self._proxy.overlay.of(pool), protocol.text_of(request, "server"))
        self._proxy.plane.pool_drain(name, server, drained)
        servers = self._live.drained.setdefault(name, set())
        (servers.add if drained else servers.discard)(server)
        await self._live.save()
        return {"pool": name, "server": server, **self._left(name, server)}

    async def add(self, message: Mapping[str, Any], _: Progress) -> dict[str, Any]:
        """Gives a pool one more server."""
        request = protocol.request_of(message)
        name = protocol.text_of(request, "pool")
        wanted = {key: request.get(key) for key in ("address", "weight", "backup", "max_connections")}
        server = await asyncio.to_thread(self._proxy.lay, lambda overlay, plan: overlay.adding(plan, name, wanted))
        await self._live.save()
        self._report(f"pool {name}: {server['address']} was added")
        return {"pool": name, "server": server["address"], **{key: server[key] for key in wanted if key != "address"}}

    async def remove(self, message: Mapping[str, Any], _: Progress) -> dict[str, Any]:
        """Takes a server out of a pool; what it has begun goes on."""
        request = protocol.request_of(message)
        name, wanted = protocol.text_of(request, "pool"), protocol.text_of(request, "server")
        server = await asyncio.to_thread(self._proxy.lay, lambda overlay, plan: overlay.removing(plan, name, wanted))
        self._live.drained.get(name, set()).discard(server)
        await self._live.save()
        self._report(f"pool {name}: {server} was removed")
        return {"pool": name, "server": server}

    def _left(self, name: str, server: str) -> dict[str, Any]:
        """The state of a server, and how many of its pool take requests."""
        for pool in self._proxy.plane.pool_status()["pools"]:
            if pool["name"] == name:
                states = {item["address"]: item["state"] for item in pool["servers"]}
                return {"state": states.get(server), "left": sum(state in TAKING for state in states.values())}
        return {"state": None, "left": 0}


def _shown(pool: Mapping[str, Any], overlay: Overlay) -> dict[str, Any]:
    servers = []
    for server in pool["servers"]:
        origin = overlay.origin(pool["name"], server["address"])
        servers.append({**server, "source": origin, "added": origin == "command"})
    return {**pool, "servers": servers, "removed": overlay.removed(pool["name"])}
