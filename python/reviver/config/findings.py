"""What checks find: a diagnostic that does not know its place yet."""

import difflib
from collections.abc import Iterable
from typing import NamedTuple

from reviver.config.positions import KeyPath
from reviver.errors import Severity

__all__ = ["Finding", "named"]


class Finding(NamedTuple):
    """Something wrong at a key path."""

    path: KeyPath
    sentence: str
    hint: str | None = None
    severity: Severity = "error"
    at_key: bool = False
    """Whether it is about the key rather than its value."""


def named(names: Iterable[str], wanted: str) -> str:
    """A hint for a name that does not exist."""
    known = list(names)
    close = difflib.get_close_matches(wanted, known, 1)
    listed = (
        f"there are {', '.join(known)}" if len(known) > 1 else f"there is {known[0]}" if known else "there are none"
    )
    if not close:
        return listed
    return f"did you mean {close[0]}?" + (f" {listed}" if len(known) > 1 else "")
