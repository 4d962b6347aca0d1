"""Keeps one certificate: obtains it, renews it in time, tries again after failures, keeps the last good one.

`step` does what is due and says when to come back; a thread calls it, or a test with a clock of its own.
"""

import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from reviver.certificates import schedule, stored
from reviver.certificates.facts import Pair, pair
from reviver.certificates.issuing import IssueError, Issuer, StoppedError
from reviver.certificates.proofs import Proofs
from reviver.certificates.stored import Trouble
from reviver.certificates.wants import Want
from reviver.errors import OperationError

LONGEST_SLEEP = 6 * 3600.0
"""Seconds after which the clock is looked at again: it may have been set, or the machine slept."""
LONGEST_REST, SHORTEST_REST = timedelta(hours=6), timedelta(seconds=1)
"""How long a new certificate is kept at least, whatever its dates and the authority say."""
NO_INFO, NO_SENSE = timedelta(hours=6), timedelta(days=30)
"""How long an authority that cannot be asked for its suggestion is left alone (RFC 9773, section 4.3.3), and one whose
answer makes no sense."""

ENDED = "not now: the proxy ends, or its configuration has changed"


def _utc() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class World:
    """What a keeper lives in; tests have their own."""

    issuer: Issuer
    report: Callable[[str], None]
    """Prints a line for a person."""
    changed: Callable[[], None]
    """Serves by what the keepers have now. Returns when that is in force; raises OperationError when it cannot be."""
    now: Callable[[], datetime] = _utc
    uniform: Callable[[float, float], float] = random.uniform


class Keeper:
    """One certificate. `step` belongs to one thread; everything else may be called from any."""

    def __init__(self, want: Want, world: World, pause: Callable[[float], None]) -> None:
        """`pause` waits for so many seconds, and raises StoppedError when the work has to end."""
        self.want = want
        self._world = world
        self._pause = pause
        self.pair: Pair | None = None
        """The certificate, once there is one."""
        self.stand_ins: tuple[Pair, ...] = ()
        """What is served until then."""
        self._stored: Pair | None = None
        self.proofs = Proofs()
        """What is being proved just now."""
        self.trouble = stored.trouble(want)
        self.ordering = False
        self._suggestion: datetime | None = None
        self._ask_at: datetime | None = None
        self._rest_until: datetime | None = None
        self._wishes: deque[Future[str]] = deque()
        self._damaged: str | None = None
        self._take_stored()
        if self.pair is None:
            self.stand_ins = stored.stand_ins(want, world.now())

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """What to serve."""
        return (self.pair,) if self.pair is not None else self.stand_ins

    @property
    def renewal(self) -> datetime | None:
        """When it will be renewed; None where there is none yet."""
        return None if self.pair is None else schedule.suggested(self.pair.facts, self._suggestion)

    def ask(self) -> "Future[str]":
        """Asks for a new certificate now, whatever the schedule says; wake the thread afterwards.

        The result is a sentence; an attempt that fails raises OperationError there.
        """
        wish: Future[str] = Future()
        self._wishes.append(wish)
        return wish

    def step(self) -> float:
        """Does what is due. Returns the seconds after which there may be more to do. Raises StoppedError."""
        if self._take_stored():
            self.trouble = Trouble()
            self._serve()
            self._world.report(f"{self.want.title}: another proxy has obtained the certificate")
        now = self._world.now()
        if self.pair is not None and (self._ask_at is None or self._ask_at <= now):
            self._ask_suggestion(self.pair, now)
        if self._wishes or self._due() <= now:
            self._obtain()
        moments = [self._due()]
        if self.pair is not None:
            moments.append(self._ask_at or self._world.now())
        return min(max((min(moments) - self._world.now()).total_seconds(), 0.0), LONGEST_SLEEP)

    def end(self) -> None:
        """Whoever still waits for a certificate is told that none will come."""
        for wish in self._taken_wishes():
            wish.set_exception(OperationError(f"{self.want.title}: {ENDED}"))

    # ---- what is due

    def _due(self) -> datetime:
        """When to obtain a certificate: after a failure at the time that was set then, else by the schedule."""
        if self.trouble.next_attempt is not None:
            return self.trouble.next_attempt
        if (renewal := self.renewal) is None:
            return self._world.now()
        return renewal if self._rest_until is None else max(renewal, self._rest_until)

    def _ask_suggestion(self, held: Pair, now: datetime) -> None:
        """RFC 9773. An authority that does not answer is no trouble: then our own rule holds."""
        self._ask_at = now + NO_INFO
        if held.facts.not_after <= now:
            self._suggestion = None
            return
        try:
            found = self._world.issuer.renewal(self.want, held.chain)
        except IssueError as error:
            self._ask_at = max(self._ask_at, error.retry_at or now)
        except Exception as error:
            # such as a certificate that does not name the key of its authority: nothing can be asked for it
            self._world.report(f"{self.want.title}: no suggestion when to renew: {type(error).__name__}: {error}")
            self._ask_at = now + NO_SENSE
        else:
            self._suggestion = found.at
            self._ask_at = max(found.ask_again, now + timedelta(seconds=schedule.FIRST_WAIT))

    # ---- obtaining

    def _obtain(self) -> None:
        wishes = self._taken_wishes()
        self.ordering = True
        try:
            with self.want.storage.lock(self.want.name, self._pause):
                said = self._done_by_another(asked_for=bool(wishes)) or self._order()
        except StoppedError:
            for wish in wishes:
                wish.set_exception(OperationError(f"{self.want.title}: {ENDED}"))
            raise
        except Exception as error:
            sentence = self._failed(error)
            for wish in wishes:
                wish.set_exception(OperationError(sentence))
        else:
            self._serve()
            self._world.report(said)
            for wish in wishes:
                wish.set_result(said)
        finally:
            self.ordering = False

    def _done_by_another(self, *, asked_for: bool) -> str | None:
        """What another proxy with this storage has come to while we waited, where that is as good as our own."""
        now = self._world.now()
        if self._take_stored() and self.pair is not None and now < schedule.renewal(self.pair.facts):
            self.trouble = Trouble()
            return f"{self.want.title}: another proxy has obtained the certificate"
        theirs = stored.trouble(self.want)
        if not asked_for and theirs.next_attempt is not None and theirs.next_attempt > now:
            self.trouble = theirs
            return f"{self.want.title}: another proxy has just failed: {theirs.error}; {_next(theirs.next_attempt)}"
        return None

    def _order(self) -> str:
        want, report = self.want, self._world.report
        report(f"{want.title}: asking {want.authority} for a certificate")
        try:
            text = self._world.issuer.issue(want, self.trouble.failures, self._present, self._pause)
        except BaseException:
            self._withdraw()
            raise
        # they go with the plan that serves the certificate
        self.proofs = Proofs()
        try:
            stored.save(want, text)
            self._take_stored()
        except OperationError as error:
            report(f"{want.title}: the new certificate cannot be kept for the next start: {error}")
            self.pair, self.stand_ins = pair(want.name, text), ()
        now = self._world.now()
        if self.pair is None or self.pair.facts.not_after <= now:
            raise IssueError("the certificate that was issued has ended already; is the clock right?")
        self.trouble = Trouble()
        stored.save_trouble(want, self.trouble, report)
        found = self.pair.facts
        self._rest_until = now + max(min(LONGEST_REST, (found.not_after - found.not_before) / 10), SHORTEST_REST)
        return (
            f"{want.title}: certificate obtained, valid until {_day(found.not_after)}; "
            f"to be renewed about {_day(schedule.renewal(found))}"
        )

    def _present(self, proofs: Proofs) -> None:
        self.proofs = proofs
        self._world.changed()

    def _withdraw(self) -> None:
        if self.proofs:
            self.proofs = Proofs()
            with suppress(OperationError):
                self._world.changed()

    def _failed(self, error: Exception) -> str:
        """Sets the time of the next attempt and tells of it. What was obtained before stays."""
        now = self._world.now()
        known = isinstance(error, OperationError)
        reason = str(error) if known else f"internal error: {type(error).__name__}: {error}"
        failures = self.trouble.failures + 1
        wait = timedelta(seconds=schedule.back_off(failures, self._world.uniform))
        retry_at = error.retry_at if isinstance(error, IssueError) else None
        next_attempt = max(now + wait, retry_at or now)
        self.trouble = Trouble(failures, " ".join(reason.split()), next_attempt)
        stored.save_trouble(self.want, self.trouble, self._world.report)
        kept = "no certificate" if self.pair is None else f"not renewed (valid until {_day(self.pair.facts.not_after)})"
        sentence = f"{self.want.title}: {kept}: {self.trouble.error}"
        self._world.report(f"{sentence}; {_next(next_attempt)}")
        return sentence

    def _taken_wishes(self) -> "list[Future[str]]":
        taken = []
        while self._wishes:
            wish = self._wishes.popleft()
            if wish.set_running_or_notify_cancel():
                taken.append(wish)
        return taken

    def _serve(self) -> None:
        try:
            self._world.changed()
        except OperationError as error:
            self._world.report(f"{self.want.title}: the new certificate is not served: {error}")

    # ---- what is stored

    def _take_stored(self) -> bool:
        """Takes what the storage has, which another proxy may have put there; whether it is another than ours."""
        try:
            found = stored.load(self.want)
        except OperationError as error:
            if str(error) != self._damaged:
                self._damaged = str(error)
                self._world.report(self._damaged)
            return False
        self._damaged = None
        if found is None or found == self._stored:
            return False
        self._stored = self.pair = found
        self.stand_ins = ()
        self._suggestion = self._ask_at = None
        return True


def _next(moment: datetime) -> str:
    return f"next attempt at {moment:%Y-%m-%d %H:%M:%S}Z"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
