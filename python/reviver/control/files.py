"""What tells one state of files from another."""

from collections.abc import Iterable
from pathlib import Path

Signature = dict[Path, tuple[int, int, int] | None]


def signature(files: Iterable[Path]) -> Signature:
    """The state that the files are in: links are followed, a missing file is None."""
    found: Signature = {}
    for path in files:
        try:
            status = path.stat()
        except OSError:
            found[path] = None
        else:
            found[path] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found
