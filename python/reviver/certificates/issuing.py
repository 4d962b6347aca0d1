"""What a keeper needs of an issuer, without the library that the real one is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from reviver.certificates.proofs import Proofs
from reviver.certificates.wants import Want
from reviver.errors import OperationError


class StoppedError(Exception):
    """The work was told to end; not a failure."""


class IssueError(OperationError):
    """No certificate was issued; the text says why, on one line."""

    def __init__(self, message: str, retry_at: datetime | None = None) -> None:
        super().__init__(" ".join(message.split()))
        self.retry_at = retry_at
        """When the authority wants to be asked again at the earliest."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """What an authority suggests (RFC 9773)."""

    at: datetime | None
    """When to renew; None where it suggests nothing."""
    ask_again: datetime


class Issuer(Protocol):
    """Obtains certificates. Calls block; `pause(seconds)` waits, and raises StoppedError when the work has to end."""

    def issue(self, want: Want, attempt: int, present: Callable[[Proofs], None], pause: Callable[[float], None]) -> str:
        """The key and the chain as PEM text in one.

        `present` is called with the proofs, and returns when they are answered; it may raise. Another `attempt`,
        counted from 0, may prove control another way. Raises IssueError, StoppedError and what `present` raises.
        """
        ...

    def renewal(self, want: Want, chain: str) -> Renewal:
        """When the authority would have this certificate renewed. Raises IssueError."""
        ...
