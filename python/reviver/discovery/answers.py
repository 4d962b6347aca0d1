"""What a source of servers says."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from reviver.config.models import Server

__all__ = ["Answer", "Failed", "Found", "Source", "SourceError"]


class SourceError(Exception):
    """A look that came to nothing; the text says why, on one line."""


@dataclass(frozen=True, slots=True)
class Found:
    """All servers that there are now."""

    servers: tuple[Server, ...]
    notes: tuple[str, ...] = ()
    """What was left out, and why: a sentence each."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing is known anew."""

    reason: str
    anew: bool = False
    """Whether it is told even where the last look failed too: somebody has written something else, and it is wrong."""


Answer = Found | Failed


class Source(Protocol):
    """Where servers are found."""

    def answers(self) -> AsyncGenerator[Answer, None]:
        """Looks at once and whenever there may be something else, and yields what comes of it; never ends."""
        ...
