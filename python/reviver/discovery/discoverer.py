"""One pool and its source: which answers count, and what is told of them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from reviver.config.models import Discover, Server
from reviver.discovery.answers import Answer, Failed, Found, Source
from reviver.errors import OperationError

__all__ = ["Discoverer"]

Take = Callable[[tuple[Server, ...]], Awaitable[None]]


class Discoverer:
    """Follows one source as long as `run` does."""

    def __init__(
        self, pool: str, discover: Discover, source: Source, take: Take, report: Callable[[str], None]
    ) -> None:
        """`take` is given each list that differs from the last one that was taken; it may raise OperationError."""
        self._pool = pool
        self._discover = discover
        self._source = source
        self._take = take
        self._report = report
        self._taken: tuple[Server, ...] | None = None
        self._notes: tuple[str, ...] = ()
        self.looked = asyncio.Event()
        """Set when the first look is over, whatever came of it."""
        self.failing: str | None = None
        """Why the last look came to nothing."""

    async def run(self) -> None:
        """Never ends by itself."""
        async with aclosing(self._source.answers()) as answers:
            async for answer in answers:
                await self._judge(answer)
                self.looked.set()

    async def _judge(self, answer: Answer) -> None:
        if isinstance(answer, Failed):
            self._fail(answer.reason, anew=answer.anew)
            return
        if len(answer.servers) < self._discover.min_servers:
            self._fail(self._too_few(answer))
            return
        self._tell(answer.notes)
        if answer.servers != self._taken:
            try:
                await self._take(answer.servers)
            except OperationError as error:
                self._fail(str(error))
                return
            self._taken = answer.servers
        if self.failing is not None:
            self.failing = None
            self._say("works again")

    def _too_few(self, answer: Found) -> str:
        count = len(answer.servers)
        least = self._discover.min_servers
        said = "no server" if not count else f"{count} server{'' if count == 1 else 's'}"
        why = f": {'; '.join(answer.notes)}" if answer.notes else ""
        return f"it finds {said}, and min_servers is {least}{why}"

    def _tell(self, notes: tuple[str, ...]) -> None:
        for note in notes:
            if note not in self._notes:
                self._report(f"pool {self._pool}: {note}")
        self._notes = notes

    def _fail(self, reason: str, *, anew: bool = False) -> None:
        told = self.failing is not None and not (anew and reason != self.failing)
        self.failing = reason
        if not told:
            self._say(f"fails, and servers stay as they are: {reason}")

    def _say(self, text: str) -> None:
        self._report(f"pool {self._pool}: discovery by {self._discover.kind} {text}")
