"""Notices when the configuration, or a file that it refers to, has changed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path

LOOK_EVERY_MS = 2000
"""How often the files are looked at without an event: some file systems tell of none."""
TOGETHER = 5.0
"""Seconds in which files that belong together, such as a certificate and its key, may be replaced one by one."""
TOGETHER_LOOK = 0.1

Signature = dict[Path, tuple[int, int, int] | None]


def signature(files: Iterable[Path]) -> Signature:
    """What tells one state of the files from another: links are followed, a missing file is None."""
    found: Signature = {}
    for path in files:
        try:
            status = path.stat()
        except OSError:
            found[path] = None
        else:
            found[path] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


async def changes(files: Callable[[], Iterable[Path]], seen: Signature, stop: asyncio.Event) -> AsyncIterator[None]:
    """Yields after each change from the state `seen`, until `stop` is set.

    `files` is asked anew again and again, since a reload may add some. Folders are watched rather than files:
    editors and configuration management replace a file (or a link to its folder) instead of writing into it.
    """
    while not stop.is_set():
        async for _ in _stirrings(seen, stop):
            now = signature(seen)
            if now != seen:
                seen = now
                yield
            wanted = frozenset(files())
            if wanted != seen.keys():
                seen = {**signature(wanted - seen.keys()), **{path: seen[path] for path in wanted & seen.keys()}}
                break


async def _stirrings(files: Iterable[Path], stop: asyncio.Event) -> AsyncIterator[None]:
    """Yields when something has moved in the folders of the files, and now and then without that."""
    folders = sorted({str(path.parent) for path in files if path.parent.is_dir()})
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
        yield_on_timeout=True,
    )
    async for _ in events:
        yield


class Together:
    """Takes over files that only fit together, however they are replaced."""

    def __init__(self, take: Callable[[], Awaitable[Exception | None]], refuse: Callable[[Exception], None]) -> None:
        """`take` tries to use them and returns why that cannot be; `refuse` tells of it, once for each change."""
        self._take = take
        self._refuse = refuse
        self._refused: Signature | None = None

    async def changed(self, files: Callable[[], Iterable[Path]], stop: asyncio.Event) -> None:
        """After a change: takes them at once, or as soon as the rest has been replaced too."""
        waited = 0.0
        while not stop.is_set():
            state = signature(files())
            if state == self._refused:
                return
            error = await self._take()
            if error is None:
                self._refused = None
                return
            while signature(files()) == state:
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
