"""A proxy in this process: the configuration it runs, and the transaction by which that changes."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reviver import __version__
from reviver.certificates.manager import Manager, Prepared
from reviver.config import path_text
from reviver.control import privileges
from reviver.control.compiled import Compiled, compile_loaded
from reviver.control.engine import DataPlane
from reviver.control.overlay import Overlay
from reviver.control.settings import Settings
from reviver.errors import ConfigurationError, Diagnostic, OperationError

if TYPE_CHECKING:
    from reviver.compile import Plan
    from reviver.config import Loaded

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the configuration comes from, as often as it is wanted."""

    name: str
    """What a person calls it: a path, or `command line`."""
    identity: str
    """What tells it from every other on this machine: the absolute path, or the listeners' addresses."""
    load: Callable[[], "Loaded"]
    """Reads it anew. Raises ConfigurationError."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of a reload."""

    epoch: int
    changed: bool
    """False when the new plan equals the running one."""
    notes: list[str]
    """Warnings, and keys that only take effect at the next start."""

    def as_dict(self) -> dict[str, Any]:
        """For the control socket."""
        return {"epoch": self.epoch, "changed": self.changed, "notes": self.notes}


class OutOfDateError(ConfigurationError):
    """A certificate that clients would refuse for its dates would replace one that they take."""

    def __init__(self, diagnostics: Sequence[Diagnostic], again: datetime | None) -> None:
        super().__init__(diagnostics)
        self.again = again
        """When the first of those that are not valid yet becomes so."""


class Proxy:
    """Configuration, plan and data plane of one running proxy.

    The order is fixed: construct (binds), `become` (gives up root), `start`, any number of `reload`, `reread`, `lay`
    and `serve_material`, then `drain` and `stop`. Methods may be called from several threads.
    """

    def __init__(
        self,
        source: Source,
        compiled: Compiled,
        certificates: Manager,
        prepared: Prepared,
        inherited: Sequence[tuple[str, int]] = (),
        *,
        becomes: privileges.Identity | None = None,
        overlay: Overlay | None = None,
    ) -> None:
        """Binds every listener and opens every log. Raises OperationError naming what could not be had.

        `overlay` is what was changed of the servers of this configuration by an earlier process.

        One that `becomes` somebody else opens the cache on disk then: what it stores is theirs, and root opens no
        file in a folder where others put what they like.
        """
        self.source = source
        self.settings = Settings.of(compiled.loaded)
        self.identity: privileges.Identity | None = None
        self.file_limit = 0
        self.certificates = certificates
        certificates.adopt(prepared)
        self._compiled = compiled
        self._overlay = overlay or Overlay()
        laid = compiled.under(self._overlay)
        self._plane = DataPlane(laid if becomes is None else laid.without_disk(), inherited)
        self._epoch = 1
        self._reloading = threading.Lock()
        self._stopping = False
        self._started = _now()
        self._last_reload: dict[str, Any] | None = None

    @property
    def compiled(self) -> Compiled:
        """What is running, as it is written."""
        return self._compiled

    @property
    def overlay(self) -> Overlay:
        """What is changed of its servers."""
        return self._overlay

    @property
    def plane(self) -> DataPlane:
        """The engine, for what changes no plan."""
        return self._plane

    @property
    def files(self) -> frozenset[Path]:
        """The configuration and every file that it refers to."""
        own = self._compiled.loaded.path
        return frozenset([*([] if own is None else [Path(own)]), *map(Path, self._compiled.inputs.files)])

    def become(self, identity: privileges.Identity, *more: Path) -> None:
        """Gives the log files and `more` to that identity and becomes it, in every thread and for good.

        Then the cache on disk is opened. Raises OperationError.
        """
        logs = [path for path in self._compiled.log_files if path.is_file()]
        privileges.hand_over([*logs, *more], identity)
        privileges.drop(identity)
        self.identity = identity
        if self._compiled.cache_folder is not None:
            self._epoch = self._apply(self._compiled)

    def start(self) -> None:
        """Serves from here on, and has certificates obtained and renewed."""
        self._plane.start()
        self.certificates.start(self.serve_material)

    def reload(self, find: Callable[[Compiled, Overlay], Overlay] | None = None) -> Reloaded:
        """Loads, compiles and swaps in the configuration as it is now.

        `find` lays the servers that are found by it over it; it may take its time. Raises ConfigurationError or
        OperationError; then the running one goes on unchanged.
        """
        with self._reloading:
            self._last_reload = {"at": _now(), "ok": False}
            loaded = self.source.load()
            prepared = self.certificates.prepare(loaded)
            compiled = compile_loaded(loaded, prepared.material)
            found = self._overlay if find is None else find(compiled, self._overlay)
            overlay, dropped = found.pruned(compiled.plan)
            epoch = self._apply(compiled, overlay)
            self.certificates.adopt(prepared)
            settings = Settings.of(loaded)
            changed = epoch != self._epoch
            notes = [str(warning) for warning in (*loaded.warnings, *compiled.inputs.warnings, *compiled.inputs.advice)]
            notes += [
                f"{key} has changed and takes effect at the next start" for key in self.settings.only_at_start(settings)
            ]
            notes += dropped
            self._compiled, self._overlay, self._epoch = compiled, overlay, epoch
            self.settings = Settings(
                self.settings.user, self.settings.group, self.settings.socket, drain=settings.drain
            )
            self._last_reload["ok"] = True
            return Reloaded(epoch, changed, notes)

    def reread(self) -> Reloaded:
        """Reads the files of the running configuration again, not the configuration itself, and swaps them in.

        The notes are warnings that are new. Raises ConfigurationError (OutOfDateError) or OperationError; then the old
        ones stay.
        """
        with self._reloading:
            before = self._compiled
            compiled = compile_loaded(before.loaded, self.certificates.current.material)
            _refuse_out_of_date(before, compiled)
            epoch = self._apply(compiled)
            changed = epoch != self._epoch
            self._compiled, self._epoch = compiled, epoch
            old = (*before.inputs.warnings, *before.inputs.advice)
            new = [item for item in (*compiled.inputs.warnings, *compiled.inputs.advice) if item not in old]
            return Reloaded(epoch, changed, [str(warning) for warning in new])

    def serve_material(self) -> None:
        """Serves by the certificates that the manager has now, and answers what it has to prove.

        No file is read: one that is being replaced must not keep a name from being proved. Raises OperationError.
        """
        with self._reloading:
            if self._stopping:
                return
            compiled = self._compiled.made_with(self.certificates.current.material)
            self._epoch = self._apply(compiled)
            self._compiled = compiled

    def lay(self, change: Callable[[Overlay, "Plan"], tuple[Overlay, T]]) -> T:
        """Changes servers without a reload: `change` makes another overlay for the plan, and says what that changes.

        Raises OperationError, what `change` raises too; then nothing has changed.
        """
        with self._reloading:
            overlay, done = change(self._overlay, self._compiled.plan)
            self._epoch = self._apply(self._compiled, overlay)
            self._overlay = overlay
            return done

    def _apply(self, compiled: Compiled, overlay: Overlay | None = None) -> int:
        """Under the overlay, or under another one."""
        try:
            return self._plane.apply(compiled.under(self._overlay if overlay is None else overlay))
        except OperationError as error:
            if self.identity is not None and "permission denied" in str(error).lower():
                raise OperationError(f"{error}; it needs root, which was given up: restart instead") from error
            raise

    def status(self) -> dict[str, Any]:
        """What runs here and how it fares; `cache` is there where something is cached.

        `servers` has the state of each by pool and address, `splits` the weights in force by split and variant.
        """
        caches = self._compiled.plan["cache"] is not None
        pools, splits = self._plane.pool_status()["pools"], self._plane.split_status()["splits"]
        return {
            "version": __version__,
            "pid": os.getpid(),
            "configuration": self.source.name,
            "started": self._started,
            "user": None if self.identity is None else str(self.identity),
            "open_files": self.file_limit,
            "last_reload": self._last_reload,
            **self._plane.status(),
            "servers": {pool["name"]: {item["address"]: item["state"] for item in pool["servers"]} for pool in pools},
            "splits": {split["name"]: {item["name"]: item["weight"] for item in split["variants"]} for split in splits},
            **({"cache": self._plane.cache_stats()} if caches else {}),
        }

    def connections(self) -> int:
        """How many clients' connections are open."""
        return sum(listener["connections"] for listener in self._plane.status()["listeners"])

    def cache_stats(self) -> dict[str, Any]:
        """How the cache fares. Raises OperationError where nothing is cached."""
        return self._plane.cache_stats()

    def cache_purge(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Takes what `request` selects out of the cache. Takes a while where much is stored. Raises OperationError."""
        return self._plane.cache_purge(request)

    def cache_get(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What is stored for a request, and whether it would be served. Raises OperationError."""
        return self._plane.cache_get(request)

    def reopen_logs(self) -> None:
        """Opens log files anew. Raises OperationError."""
        self._plane.reopen_logs()

    def warnings(self) -> list[str]:
        """The engine's warnings since the last call."""
        return self._plane.warnings()

    def drain(self, seconds: float) -> bool:
        """Refuses new connections and waits for flows; whether all ended in time. Blocks."""
        return self._plane.drain(seconds)

    def stop(self) -> None:
        """Ends what is left and flushes the logs. Blocks."""
        with self._reloading:
            self._stopping = True
        self.certificates.stop()
        self._plane.stop()


def _refuse_out_of_date(before: Compiled, compiled: Compiled) -> None:
    now = datetime.now(UTC)
    diagnostics, again = [], []
    for path, pair in compiled.inputs.certificates.items():
        held = before.inputs.certificates.get(path)
        doubt = pair.doubt(now)
        if doubt is None or held is None or held.chain == pair.chain or held.doubt(now) is not None:
            continue
        positions, key = before.loaded.positions, (*path, "certificate")
        hint = f"the one that is served is valid until {held.valid[1]:%Y-%m-%d %H:%M}Z"
        diagnostics.append(Diagnostic(positions.file, *positions.mark(key), path_text(key), doubt[0], hint))
        if pair.valid[0] > now:
            again.append(pair.valid[0])
    if diagnostics:
        raise OutOfDateError(diagnostics, min(again, default=None))


def _now() -> str:
    """The time as people and programs both read it (RFC 3339)."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
