"""Events for other programs: POST of JSON, in order, in the background, several times where it fails."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from reviver.control.aside import aside
from reviver.control.posting import post
from reviver.errors import OperationError

TIMEOUT = 10.0
"""Seconds for one attempt."""
PAUSES = (1.0, 5.0, 15.0, 60.0)
"""Seconds before each further attempt."""
WAITING = 1000
"""Events that wait for one URL at most; the oldest are given up."""


class Webhooks:
    """Delivers events of the running proxy. Of the event loop's thread."""

    def __init__(self, report: Callable[[str], None], pauses: tuple[float, ...] = PAUSES) -> None:
        self._report = report
        self._pauses = pauses
        self._waiting: dict[str, deque[Mapping[str, Any]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def send(self, urls: Iterable[str], event: Mapping[str, Any]) -> None:
        """Queues an event for each of the URLs; returns at once."""
        for url in urls:
            queue = self._waiting.setdefault(url, deque())
            queue.append(event)
            if len(queue) > WAITING:
                self._give_up(url, queue.popleft(), "too many events wait for it")
            if url not in self._tasks:
                self._tasks[url] = asyncio.ensure_future(self._deliver(url, queue))

    async def finish(self, seconds: float) -> None:
        """Lets what waits be delivered for a while, and gives up the rest."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=seconds)
        for task in self._tasks.values():
            task.cancel()

    async def _deliver(self, url: str, queue: deque[Mapping[str, Any]]) -> None:
        try:
            while queue:
                event = queue.popleft()
                for pause in (*self._pauses, None):
                    reason, again = await self._attempt(url, event)
                    if reason is None:
                        break
                    if pause is None or not again:
                        self._give_up(url, event, reason)
                        break
                    await asyncio.sleep(pause)
        finally:
            del self._tasks[url]

    async def _attempt(self, url: str, event: Mapping[str, Any]) -> tuple[str | None, bool]:
        """Why it was not delivered, and whether that may be another time."""
        try:
            reply = await asyncio.wait_for(aside(lambda: post(url, event, TIMEOUT), "webhook"), 2 * TIMEOUT)
        except TimeoutError:
            return f"no answer within {2 * TIMEOUT:g} s", True
        except OperationError as error:
            return str(error), True
        if reply.good:
            return None, False
        return f"it answered {reply.said}", reply.status >= 500 or reply.status in (408, 429)

    def _give_up(self, url: str, event: Mapping[str, Any], reason: str) -> None:
        self._report(f"webhook {named(url)}: {event.get('kind')} was not delivered: {reason.replace(url, named(url))}")


def named(url: str) -> str:
    """A webhook for the journal: without path and query, which are often its secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{'' if parts.port is None else f':{parts.port}'}"
