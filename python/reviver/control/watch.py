"""Notices when the configuration, or a file that it refers to, has changed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

LOOK_EVERY_MS = 2000
"""How often the files are looked at without an event: some file systems tell of none."""

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

    `files` is asked anew after each change, since a reload may add some. Folders are watched rather than files:
    editors and configuration management replace a file (or a link to its folder) instead of writing into it.
    """
    from watchfiles import awatch

    while not stop.is_set():
        folders = sorted({str(path.parent) for path in seen if path.parent.is_dir()})
        events = awatch(
            *folders,
            recursive=False,
            watch_filter=None,
            stop_event=stop,
            rust_timeout=LOOK_EVERY_MS,
            yield_on_timeout=True,
        )
        async for _ in events:
            now = signature(seen)
            if now == seen:
                continue
            seen = now
            yield
            wanted = signature(files())
            if wanted.keys() != seen.keys():
                seen = wanted
                break
