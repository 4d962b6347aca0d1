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
    """`valid`, `expires soon`, `expired`, `not yet valid`; automatic ones also `pending` and `failing`."""
    file: str | None
    fingerprint: str | None
    next_renewal: str | None = None
    error: str | None = None
    """Why the last attempt failed."""
    next_attempt: str | None = None


def rows(plan: Plan, prepared: Prepared, now: datetime) -> list[dict[str, Any]]:
    """Of listeners, in order, then of pools, as dictionaries."""
    return [asdict(row) for row in (*_of_listeners(plan, prepared, now), *_of_pools(plan, now))]


def _of_listeners(plan: Plan, prepared: Prepared, now: datetime) -> Iterator[Row]:
    for listener in plan["listeners"]:
        if (tls := listener["tls"]) is None:
            continue
        name = listener["name"]
        worker = prepared.workers.get(name)
        obtained = {pair.name for pair in worker.keeper.pairs} if worker is not None else set()
        for certificate in tls["certificates"]:
            if certificate["name"] not in obtained:
                yield _row(name, None, certificate["chain"], "file", certificate["name"], now)
        if worker is not None:
            yield from _automatic(name, worker, now)
        if name in prepared.internal and prepared.authority is not None:
            yield _row(name, None, prepared.authority.chain, "internal", prepared.authority.name, now)


def _of_pools(plan: Plan, now: datetime) -> Iterator[Row]:
    for pool in plan["reverse"]["pools"] if plan["reverse"] is not None else ():
        if (tls := pool["tls"]) is not None and (certificate := tls["certificate"]) is not None:
            yield _row(None, pool["name"], certificate["chain"], "file", certificate["name"], now)


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
