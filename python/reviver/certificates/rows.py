"""What `reviver certificates` shows of every certificate of a configuration."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from reviver.certificates import schedule
from reviver.certificates.facts import Facts, facts
from reviver.certificates.manager import Prepared, Worker
from reviver.certificates.stored import Trouble
from reviver.compile import Plan
from reviver.config import KeyPath, path_text
from reviver.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Row:
    """One certificate at one place. Times are RFC 3339."""

    listener: str | None
    pool: str | None
    names: tuple[str, ...]
    issuer: str | None
    key: str | None
    not_before: str | None
    not_after: str | None
    days_left: int | None
    source: str
    """`file`, `automatic` or `internal`."""
    state: str
    """`valid`, `expires soon`, `expired`, `not yet valid`, `failing`; automatic ones also `pending`."""
    file: str | None
    fingerprint: str | None
    next_renewal: str | None = None
    error: str | None = None
    """Why the last attempt failed, or why what the file holds now is not served."""
    next_attempt: str | None = None


def rows(plan: Plan, prepared: Prepared, now: datetime, refusal: Exception | None = None) -> list[dict[str, Any]]:
    """Of listeners, in order, then of pools, as dictionaries.

    `refusal` is why the files as they are now were not taken over.
    """
    return [asdict(row) for row in (*_of_listeners(plan, prepared, now, refusal), *_of_pools(plan, now, refusal))]


def _of_listeners(plan: Plan, prepared: Prepared, now: datetime, refusal: Exception | None) -> Iterator[Row]:
    for listener in plan["listeners"]:
        if (tls := listener["tls"]) is None:
            continue
        name = listener["name"]
        worker = prepared.workers.get(name)
        obtained = {pair.name for pair in worker.keeper.pairs} if worker is not None else set()
        for index, certificate in enumerate(tls["certificates"]):
            if certificate["name"] not in obtained:
                path = ("listeners", name, "tls", "certificates", index)
                trouble = _not_taken(refusal, path, certificate["name"])
                yield _row(name, None, certificate["chain"], "file", certificate["name"], now, trouble=trouble)
        if worker is not None:
            yield from _automatic(name, worker, now)
        if name in prepared.internal and prepared.authority is not None:
            yield _row(name, None, prepared.authority.chain, "internal", prepared.authority.name, now)


def _of_pools(plan: Plan, now: datetime, refusal: Exception | None) -> Iterator[Row]:
    for pool in plan["reverse"]["pools"] if plan["reverse"] is not None else ():
        if (tls := pool["tls"]) is not None and (certificate := tls["certificate"]) is not None:
            trouble = _not_taken(refusal, ("reverse", "pools", pool["name"], "tls"), certificate["name"])
            yield _row(None, pool["name"], certificate["chain"], "file", certificate["name"], now, trouble=trouble)


def _not_taken(refusal: Exception | None, path: KeyPath, file: str) -> Trouble:
    """What of a refusal is about the certificate at that place, which the engine knows by its file."""
    if isinstance(refusal, ConfigurationError):
        keys = [f"{path_text(path)}.{key}" for key in ("certificate", "key")]
        found = [item for item in refusal.diagnostics if item.path in keys and item.severity == "error"]
        reasons = [f"{item.sentence} ({item.hint})" if item.hint else item.sentence for item in found]
    else:
        reasons = [str(refusal)] if refusal is not None and file in str(refusal) else []
    return Trouble(failures=len(reasons), error="; ".join(reasons) or None)


def _automatic(listener: str, worker: Worker, now: datetime) -> Iterator[Row]:
    keeper = worker.keeper
    trouble = keeper.trouble
    if keeper.pair is None:
        # until it is there, others may be served for some of its names
        for pair in keeper.stand_ins:
            yield _row(listener, None, pair.chain, "automatic", pair.name, now)
        yield Row(
            listener, None, keeper.want.names, None, None, None, None, None, "automatic", _state(None, trouble, now),
            None, None, None, trouble.error, _time(trouble.next_attempt),
        )  # fmt: skip
    else:
        yield _row(
            listener, None, keeper.pair.chain, "automatic", keeper.pair.name, now, trouble=trouble, next=keeper.renewal
        )


def _row(
    listener: str | None,
    pool: str | None,
    chain: str,
    source: str,
    file: str,
    now: datetime,
    *,
    trouble: Trouble | None = None,
    next: datetime | None = None,  # noqa: A002
) -> Row:
    trouble = trouble or Trouble()
    found = facts(chain)
    return Row(
        listener=listener,
        pool=pool,
        names=found.names,
        issuer=found.issuer,
        key=found.key,
        not_before=_time(found.not_before),
        not_after=_time(found.not_after),
        days_left=(found.not_after - now).days,
        source=source,
        state=_state(found, trouble, now),
        file=file,
        fingerprint=found.fingerprint,
        next_renewal=_time(next),
        error=trouble.error,
        next_attempt=_time(trouble.next_attempt),
    )


def _state(found: Facts | None, trouble: Trouble, now: datetime) -> str:
    if found is not None and found.not_after <= now:
        return "expired"
    if trouble.failures:
        return "failing"
    if found is None:
        return "pending"
    if found.not_before > now:
        return "not yet valid"
    return "expires soon" if schedule.ends_soon(found, now) else "valid"


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds").replace("+00:00", "Z")
