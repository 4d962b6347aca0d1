"""What checks find: a diagnostic that does not know its place yet."""

from typing import NamedTuple

from reviver.config.positions import KeyPath
from reviver.errors import Severity

__all__ = ["Finding"]


class Finding(NamedTuple):
    """Something wrong at a key path."""

    path: KeyPath
    sentence: str
    hint: str | None = None
    severity: Severity = "error"
    at_key: bool = False
    """Whether it is about the key rather than its value."""
