"""Certificates that were obtained, and how obtaining them goes, as they are in a storage."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from reviver.certificates.facts import Pair, covers, pair
from reviver.certificates.wants import Want
from reviver.errors import OperationError


@dataclass(frozen=True, slots=True)
class Trouble:
    """Attempts that failed since the last one that did not."""

    failures: int = 0
    error: str | None = None
    next_attempt: datetime | None = None


def load(want: Want) -> Pair | None:
    """What was obtained last, or None. Raises OperationError, also where the file is damaged."""
    text = want.storage.read(f"{want.name}.pem")
    if text is None:
        return None
    path = want.storage.path(f"{want.name}.pem")
    try:
        return pair(str(path), text)
    except ValueError as error:
        raise OperationError(f"{path} is damaged: {error}") from error


def save(want: Want, text: str) -> None:
    """Keeps key and chain. Raises OperationError."""
    want.storage.write(f"{want.name}.pem", text)


def stand_ins(want: Want, now: datetime) -> tuple[Pair, ...]:
    """What may be served until the certificate is there: others of the storage, for some of its names at least.

    Names are added to and taken from configurations; what was obtained for the others stays good.
    """
    found: list[Pair] = []
    for name in want.storage.names("automatic", ".pem"):
        try:
            candidate = pair(str(want.storage.path(name)), want.storage.read(name) or "")
        except (ValueError, OperationError):
            continue
        if candidate.facts.not_after > now and any(covers(candidate.facts.names, item) for item in want.names):
            found.append(candidate)
    # the one that fits most names first, of equal ones the one that lasts longest
    found.sort(key=lambda item: item.facts.not_after, reverse=True)
    found.sort(key=lambda item: -sum(covers(item.facts.names, name) for name in want.names))
    return tuple(found)


def trouble(want: Want) -> Trouble:
    """What went wrong so far, over restarts: a proxy that is restarted again and again must not ask each time."""
    table = want.storage.read_table(f"{want.name}.json")
    try:
        return Trouble(
            failures=int(table["failures"]),
            error=str(table["error"]),
            next_attempt=datetime.fromisoformat(table["next_attempt"]).astimezone(UTC),
        )
    except (KeyError, TypeError, ValueError):
        return Trouble()


def save_trouble(want: Want, found: Trouble, report: Callable[[str], None]) -> None:
    """Remembers it, or forgets it where nothing is wrong. A storage that fails is told, and stops nothing."""
    try:
        if found.next_attempt is None:
            want.storage.remove(f"{want.name}.json")
        else:
            table = {
                "failures": found.failures,
                "error": found.error,
                "next_attempt": found.next_attempt.isoformat(timespec="seconds"),
            }
            want.storage.write_table(f"{want.name}.json", table)
    except OperationError as error:
        report(str(error))
