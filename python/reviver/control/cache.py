"""The event loop's side of the cache: what commands ask of it."""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

from reviver.control import protocol
from reviver.control.proxy import Proxy
from reviver.control.server import Progress

PROGRESS_EVERY = 1.0
_FILE = re.compile(r"lock|(segment|object)-[0-9]+|segment-[0-9]+\.index")


def is_own(name: str) -> bool:
    """Whether a file of that name in the cache's folder is the cache's."""
    return _FILE.fullmatch(name) is not None


class Cache:
    """Of one running proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def stats(self, _: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        """How it fares."""
        return await _aside(self._proxy.cache_stats, progress)

    async def purge(self, message: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        """Takes out what the request selects; answers when that holds for all workers and on disk."""
        request = protocol.request_of(message)
        return await _aside(lambda: self._proxy.cache_purge(request), progress)

    async def get(self, message: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        """What is stored for a request, and whether it would be served."""
        request = protocol.request_of(message)
        return await _aside(lambda: self._proxy.cache_get(request), progress)


async def _aside(work: Callable[[], dict[str, Any]], progress: Progress) -> dict[str, Any]:
    """In a thread of its own: with millions of objects it takes longer than who asked would wait in silence."""
    done = asyncio.ensure_future(asyncio.to_thread(work))
    waited = 0.0
    while not (await asyncio.wait({done}, timeout=PROGRESS_EVERY))[0]:
        waited += PROGRESS_EVERY
        await progress({"seconds": waited})
    return done.result()
