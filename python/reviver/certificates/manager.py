"""The certificates of one running proxy: what its configuration wants, kept by one thread for each certificate.

A configuration is prepared before it is applied, and adopted after: what is prepared for one that fails is dropped, and
certificates that both want go on without a break.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from reviver.certificates import authority, wants
from reviver.certificates.facts import Pair
from reviver.certificates.issuing import IssueError, Issuer, Renewal, StoppedError
from reviver.certificates.keeper import Keeper, World
from reviver.certificates.proofs import Material, Proofs, challenges
from reviver.certificates.storage import Storage, default_folder
from reviver.certificates.wants import Want
from reviver.errors import OperationError, ReviverError

if TYPE_CHECKING:
    from reviver.config import Loaded

LAST_MOMENT = 1.0
"""Seconds that threads have to end; an answer from the network may take longer, and is not waited for."""
LATER = 60.0
"""Seconds after which a thread goes on that something unexpected has stopped."""
LOCK_PATIENCE = 10.0
"""Seconds in which another proxy has to make the local authority."""


class Worker:
    """A keeper and the thread that it works on."""

    def __init__(self, want: Want, world: World) -> None:
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._report = world.report
        self.keeper = Keeper(want, world, self._pause)

    def start(self) -> None:
        """Begins to work, once."""
        if self._thread is None:
            # a daemon: an authority that does not answer must not keep the process from ending
            self._thread = threading.Thread(target=self._run, name=self.keeper.want.title, daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    def stop(self) -> None:
        """Tells it to end; `join` waits."""
        self._stop.set()
        self._wake.set()
        self.keeper.end()

    def join(self, seconds: float) -> None:
        """Waits for the end of its thread."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise StoppedError

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._wake.wait(self._step())
                self._wake.clear()
        except StoppedError:
            pass
        finally:
            self.keeper.end()

    def _step(self) -> float:
        try:
            return self.keeper.step()
        except StoppedError:
            raise
        except Exception as error:
            # such as a storage that is gone; what was obtained is still served
            known = isinstance(error, ReviverError)
            self._report(str(error) if known else f"internal error: {type(error).__name__}: {error}")
            return LATER


@dataclass(frozen=True)
class Prepared:
    """What one configuration wants, and what there is of it."""

    workers: Mapping[str, Worker] = field(default_factory=dict)
    """By listener. Listeners that want the same share one."""
    internal: tuple[str, ...] = ()
    """Listeners of the local authority."""
    authority: Pair | None = None

    @property
    def every_worker(self) -> list[Worker]:
        """Each once."""
        return list(dict.fromkeys(self.workers.values()))

    @property
    def files(self) -> frozenset[Path]:
        """The stored certificates, which another proxy may renew."""
        return frozenset(
            worker.keeper.want.storage.path(f"{worker.keeper.want.name}.pem") for worker in self.every_worker
        )

    @property
    def material(self) -> Material:
        """What goes into the plan."""
        held = self.authority
        return Material(
            automatic={
                listener: tuple((pair.name, pair.chain, pair.key) for pair in worker.keeper.pairs)
                for listener, worker in self.workers.items()
            },
            internal={} if held is None else dict.fromkeys(self.internal, (held.chain, held.key)),
            challenges=challenges(worker.keeper.proofs for worker in self.every_worker),
        )


class Manager:
    """Calls are quick but for `stop`, and may come from several threads.

    `report` prints a line; `issuer` stands in for the real one.
    """

    def __init__(
        self,
        report: Callable[[str], None],
        *,
        folder: Path | None = None,
        issuer: Issuer | None = None,
    ) -> None:
        # Found once: after root was given up it would be another's.
        self.folder = default_folder() if folder is None else folder
        self._changed: Callable[[], None] = lambda: None
        self._world = World(issuer or _LazyIssuer(), report, self._serve)
        self._started = False
        self._lock = threading.Lock()
        self.current = Prepared()
        """What is in force."""

    def _serve(self) -> None:
        self._changed()

    def storages(self, loaded: "Loaded") -> list[Storage]:
        """The storages that a configuration uses, each once."""
        found = [want.storage for want in wants.wanted(loaded, self.folder).values()]
        if wants.internal(loaded):
            found.append(Storage(self.folder))
        return list(dict.fromkeys(found))

    def prepare(self, loaded: "Loaded", *, make: bool = True) -> Prepared:
        """Reads what there is for a configuration, and makes the local authority where it is wanted the first time.

        Without `make` nothing is written. Raises OperationError where a storage cannot be used.
        """
        if make:
            for storage in self.storages(loaded):
                storage.prepare()
        known = {worker.keeper.want: worker for worker in self.current.every_worker}
        workers = {}
        for listener, want in wants.wanted(loaded, self.folder).items():
            if want not in known:
                known[want] = Worker(want, self._world)
            workers[listener] = known[want]
        internal = wants.internal(loaded)
        return Prepared(workers, internal, self._authority(make) if internal else None)

    def _authority(self, make: bool) -> Pair | None:
        storage = Storage(self.folder)
        if not make:
            return authority.load(storage)
        end = time.monotonic() + LOCK_PATIENCE

        def pause(seconds: float) -> None:
            if time.monotonic() > end:
                raise OperationError(f"storage {storage.folder}: another proxy holds its lock")
            time.sleep(seconds)

        pair, made = authority.ensure(storage, pause)
        if made:
            self._world.report(
                f"made a local authority, {authority.path(storage)}; `reviver certificates trust` says how to trust it"
            )
        return pair

    def adopt(self, prepared: Prepared) -> None:
        """Works for that configuration from now on."""
        with self._lock:
            gone = [worker for worker in self.current.every_worker if worker not in prepared.every_worker]
            self.current = prepared
            for worker in gone:
                worker.stop()
            if self._started:
                for worker in prepared.every_worker:
                    worker.start()

    def start(self, changed: Callable[[], None]) -> None:
        """Begins to obtain and renew. `changed` serves by the `material` of `current`; it may raise OperationError."""
        with self._lock:
            self._changed = changed
            self._started = True
            for worker in self.current.every_worker:
                worker.start()

    def look(self) -> None:
        """Something may have changed in a storage."""
        for worker in self.current.every_worker:
            worker.wake()

    def renew(self, name: str | None = None) -> "list[Future[str]]":
        """Obtains certificates anew: all, or that of a listener or a host.

        Each result is a sentence. Raises OperationError where there is none of that name.
        """
        workers = [
            worker
            for worker in self.current.every_worker
            if name is None
            or name.lower() in worker.keeper.want.names
            or name in (listener for listener, other in self.current.workers.items() if other is worker)
        ]
        if not workers:
            known = [f"{listener} ({worker.keeper.want.title})" for listener, worker in self.current.workers.items()]
            if not known:
                raise OperationError("no certificate is automatic here")
            raise OperationError(f"no automatic certificate {name!r}; there are: {', '.join(known)}")
        wishes = []
        for worker in workers:
            wishes.append(worker.keeper.ask())
            worker.wake()
        return wishes

    def stop(self) -> None:
        """Ends all work. Orders that are under way are given up."""
        with self._lock:
            self._started = False
            workers = self.current.every_worker
            for worker in workers:
                worker.stop()
        end = time.monotonic() + LAST_MOMENT
        for worker in workers:
            worker.join(max(0.0, end - time.monotonic()))


class _LazyIssuer:
    """The real issuer, loaded with its library when it is asked for the first time."""

    def issue(self, want: Want, attempt: int, present: Callable[[Proofs], None], pause: Callable[[float], None]) -> str:
        return _acme().issue(want, attempt, present, pause)

    def renewal(self, want: Want, chain: str) -> Renewal:
        return _acme().renewal(want, chain)


def _acme() -> Issuer:
    try:
        from reviver.certificates.issuer import AcmeIssuer
    except ImportError as error:
        # the user that root has become may not be able to read where Python is installed
        raise IssueError(f"the ACME library cannot be loaded: {error}; restart the proxy") from error
    return AcmeIssuer()
