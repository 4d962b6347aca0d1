"""Servers are written in a file, which is read again when it changes."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from reviver.config.formats import Document, TextError, parse, read
from reviver.config.positions import KeyPath, Mark, path_text
from reviver.discovery.answers import Answer, Failed, Found, SourceError
from reviver.discovery.polling import Sleep
from reviver.discovery.servers import WrongListError, read_servers

__all__ = ["SETTLED", "Stirrings", "WatchedFile", "read_file"]

SETTLED = 0.1
"""Seconds for which a file has to stay as it is before it is read: it may be written in several steps."""
LOOKS = 20
"""How often that is waited for, at most."""

Stirrings = Callable[[Callable[[], Iterable[Path]], asyncio.Event], AsyncGenerator[None, None]]
"""Yields when something has moved in the folders of files, until the event is set."""
Signature = Callable[[Iterable[Path]], Mapping[Path, Any]]
"""What tells one state of files from another."""


class WatchedFile:
    """One file, however it is changed: written into, replaced, or behind a link."""

    def __init__(
        self,
        path: Path,
        stirrings: Stirrings,
        signature: Signature,
        max_connections: int = 0,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._path = path
        self._max_connections = max_connections
        self._stirrings = stirrings
        self._signature = signature
        self._sleep = sleep

    async def answers(self) -> AsyncGenerator[Answer, None]:
        """One for each state that the file is in."""
        state = self._state()
        yield await self._read()
        async with aclosing(self._stirrings(lambda: [self._path], asyncio.Event())) as moved:
            # what has changed since it was read is found by the first of these
            async for _ in moved:
                if self._state() != state:
                    state = await self._settled()
                    yield await self._read()

    def _state(self) -> Mapping[Path, Any]:
        return self._signature([self._path])

    async def _settled(self) -> Mapping[Path, Any]:
        """The state of the file once it no longer changes."""
        state = self._state()
        for _ in range(LOOKS):
            await self._sleep(SETTLED)
            before, state = state, self._state()
            if state == before:
                break
        return state

    async def _read(self) -> Answer:
        try:
            return await asyncio.to_thread(read_file, self._path, self._max_connections)
        except SourceError as error:
            return Failed(str(error), anew=True)


def read_file(path: Path, max_connections: int = 0) -> Found:
    """What is written there. Raises SourceError with the first mistake and its place."""
    try:
        document = parse(read(path), path.suffix)
    except TextError as problem:
        raise SourceError(_said(path, problem.mark, (), problem.sentence)) from None
    if document.problems:
        first = document.problems[0]
        raise SourceError(_said(path, first.mark, first.path, first.sentence))
    try:
        return Found(read_servers(document.data, max_connections))
    except WrongListError as error:
        at, sentence = error.wrong[0]
        more = f", and {len(error.wrong) - 1} more" if len(error.wrong) > 1 else ""
        raise SourceError(_said(path, _mark(document, at), at, sentence + more)) from None


def _mark(document: Document, at: KeyPath) -> Mark:
    """Where a mistake stands: at the key, where that is one; else at the longest beginning of its path."""
    while at not in document.keys and at not in document.marks and at:
        at = at[:-1]
    return document.keys.get(at) or document.marks.get(at, Mark(0, 0))


def _said(path: Path, mark: Mark, at: KeyPath, sentence: str) -> str:
    place = f"{path}:{mark.line}:{mark.column}" if mark.line else str(path)
    return f"{place}: {path_text(at)}: {sentence}" if at else f"{place}: {sentence}"
