"""Notices when the configuration, or a file that it refers to, has changed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, suppress
from pathlib import Path

from reviver.control.files import Signature, signature

LOOK_EVERY_MS = 2000
"""How often the files are looked at without an event: some file systems tell of none."""
STEP_MS = 200
"""How long changes are gathered; also how often the watching thread wakes up, which must cost nothing."""
TOGETHER = 5.0
"""Seconds in which files that belong together, such as a certificate and its key, may be replaced one by one."""
TOGETHER_LOOK = 0.1


async def changes(files: Callable[[], Iterable[Path]], seen: Signature, stop: asyncio.Event) -> AsyncIterator[None]:
    """Yields after each change from the state `seen`, until `stop` is set.

    `files` is asked anew after each change, since a reload may add some.
    """

    def watched() -> Signature:
        return seen

    async with aclosing(stirrings(watched, stop)) as events:
        async for _ in events:
            now = signature(seen)
            if now == seen:
                continue
            seen = now
            yield
            wanted = signature(files())
            if wanted.keys() != seen.keys():
                seen = wanted


async def stirrings(files: Callable[[], Iterable[Path]], stop: asyncio.Event) -> AsyncGenerator[None, None]:
    """Yields when something has moved in the folders of the files, and now and then without that, until `stop` is set.

    `files` is asked anew each time. Folders are watched rather than files: editors and configuration management
    replace a file (or a link to its folder) instead of writing into it.
    """
    while not stop.is_set():
        folders = _folders(files())
        async with aclosing(_moved(folders, stop)) as events:
            async for _ in events:
                yield
                if _folders(files()) != folders:
                    break


def _folders(files: Iterable[Path]) -> list[str]:
    return sorted({str(path.parent) for path in files if path.parent.is_dir()})


async def _moved(folders: list[str], stop: asyncio.Event) -> AsyncGenerator[None, None]:
    if not folders:
        while not await _stopped(stop, LOOK_EVERY_MS / 1000):
            yield
        return
    from watchfiles import awatch

    events = awatch(
        *folders,
        recursive=False,
        watch_filter=None,
        stop_event=stop,
        rust_timeout=LOOK_EVERY_MS,
        step=STEP_MS,
        yield_on_timeout=True,
    )
    async with aclosing(events):
        async for _ in events:
            yield


class Together:
    """Takes over files that only fit together, however they are replaced."""

    def __init__(
        self,
        taken: Callable[[], Signature],
        take: Callable[[], Awaitable[Exception | None]],
        refuse: Callable[[Exception], None],
    ) -> None:
        """`taken` is the state of the files when they were last taken; `take` tries to take them as they are now, and
        returns why that cannot be; `refuse` tells of it, once for each state."""
        self._taken = taken
        self._take = take
        self._refuse = refuse
        self._refused: Signature | None = None

    @property
    def refused(self) -> bool:
        """Whether the files are now as they were when they were refused last, and were not taken by other ways."""
        taken = self._taken()
        return self._refused not in (None, taken) and signature(taken) == self._refused

    def forget(self) -> None:
        """What was refused is tried again at the next look."""
        self._refused = None

    async def look(self, stop: asyncio.Event) -> None:
        """Takes files that have changed, at once or as soon as the rest has been replaced too."""
        waited = 0.0
        while not stop.is_set():
            state = signature(self._taken())
            if state in (self._taken(), self._refused):
                return
            error = await self._take()
            if error is None:
                self._refused = None
                return
            while signature(self._taken()) == state:
                if waited >= TOGETHER:
                    self._refused = state
                    self._refuse(error)
                    return
                if await _stopped(stop, TOGETHER_LOOK):
                    return
                waited += TOGETHER_LOOK


async def _stopped(stop: asyncio.Event, seconds: float) -> bool:
    """Waits so long, or until the end; whether that has come."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()
