"""Serving: start-up in the right order, then signals, the control socket and file changes until the end.

The event loop here carries no traffic. It waits for SIGTERM and SIGINT (drain; a second one stops at once, a third
one kills), SIGHUP (reload), SIGUSR1 (reopen logs), commands on the control socket, changes of certificates and, when
told so, of the configuration.
"""

import asyncio
import contextlib
import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from reviver import __version__
from reviver.certificates.manager import Manager
from reviver.certificates.storage import FOLDERS
from reviver.control import passwords, paths, privileges, server
from reviver.control.activation import inherited
from reviver.control.cache import Cache, is_own
from reviver.control.canaries import NEEDED as JUDGING
from reviver.control.canaries import Canaries
from reviver.control.certificates import Certificates
from reviver.control.compiled import Compiled, compile_loaded
from reviver.control.discovery import Discovery
from reviver.control.events import Events
from reviver.control.files import signature
from reviver.control.live import Live
from reviver.control.mirrors import Mirrors
from reviver.control.notify import Notifier
from reviver.control.pools import Pools
from reviver.control.proxy import Proxy, Reloaded, Source
from reviver.control.settings import Settings
from reviver.control.state import State, StateFile, has_autopilot
from reviver.control.watch import changes
from reviver.control.wishes import last_known, needed, wishes_of
from reviver.errors import ConfigurationError, OperationError, ReviverError

WARNINGS_EVERY = 0.5
"""Seconds; also between looks for what has happened to servers."""
PROGRESS_EVERY = 1.0
LATER = (
    "anyio._backends._asyncio",
    "concurrent.futures.thread",
    "difflib",
    "encodings.idna",
    "pydantic.json_schema",
    "reviver.certificates.facts",
    "reviver.compile.gathering",
    "traceback",
    "watchfiles",
)
OBTAINING = ("encodings.idna", "reviver.certificates.issuer", "stringprep")
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


def report(text: str) -> None:
    """Prints for the person at the terminal or the reader of the journal; a closed stderr stops nothing."""
    with contextlib.suppress(OSError, ValueError):
        print(f"reviver: {text}", file=sys.stderr, flush=True)


def serve(source: Source, *, watch: bool = False, on_ready: Callable[[], bool] | None = None) -> int:
    """Runs a proxy until it is told to end; returns the exit code.

    `on_ready` is called in a thread of its own once connections are served; the proxy ends when it returns False.
    Raises ConfigurationError or OperationError where it could not be started; then nothing is left behind.
    """
    file_limit = privileges.raise_file_limit()
    loaded = source.load()
    settings = Settings.of(loaded)
    identity = privileges.identity(settings.user, settings.group)
    certificates = Manager(report)
    if identity is not None:
        for storage in certificates.storages(loaded):
            privileges.give_folder(storage.folder, FOLDERS.__contains__, identity)
    with privileges.acting_as(identity):
        prepared = certificates.prepare(loaded)
    compiled = compile_loaded(loaded, prepared.material)
    for warning in (*loaded.warnings, *compiled.inputs.warnings, *compiled.inputs.advice):
        report(str(warning))
    if identity is not None and (folder := compiled.cache_folder) is not None:
        try:
            privileges.give_folder(folder, is_own, identity)
        except OperationError as error:
            # the cache does without a disk
            report(str(error))
    # what the command line stands for is as it was written each time
    state_file = None if loaded.path is None else StateFile(source.identity)
    state = State() if state_file is None else _kept_state(state_file, compiled, identity)
    path = settings.socket or paths.choose(source.identity, shared=identity is not None)
    sockets, unusable = inherited()
    notifier = Notifier()
    for sentence in unusable:
        report(sentence)
    # the default socket of one that gives up root has a folder of its own, so that it can be removed at the end
    own_folder = identity is not None and settings.socket is None
    listener = server.bind(path, own_folder=own_folder)
    # From the moment that a port accepts, a signal must find its handler: until then signals wait. The engine's
    # threads inherit this, so that signals always come to the event loop's thread.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        bindings = [(item.address, item.descriptor) for item in sockets]
        proxy = Proxy(source, compiled, certificates, prepared, bindings, becomes=identity, overlay=state.overlay)
        proxy.file_limit = file_limit
        bound = {address for listener in compiled.plan["listeners"] for address in listener["bind"]}
        for item in sockets:
            if item.address not in bound:
                report(f"inherited socket {item.address} ({item.name}) belongs to no listener of the configuration")
        # What is there now stays; of what comes, garbage is collected.
        gc.freeze()
        gc.enable()
        if identity is not None:
            judging = JUDGING if has_autopilot(loaded) else ()
            obtaining = OBTAINING if prepared.workers else ()
            _load_what_comes_later((*LATER, *obtaining, *judging, *needed(loaded)))
            proxy.become(identity, path, *([path.parent] if own_folder else []))
            for file in sorted(compiled.certificate_files):
                if file.exists() and not os.access(file, os.R_OK, effective_ids=True):
                    report(f"{file} cannot be read as {identity}: reloads will fail until it can")
        live = Live(proxy, state, state_file, report)
        return asyncio.run(_Service(proxy, live, path, notifier, watch=watch, on_ready=on_ready).run(listener))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        listener.close()
        server.remove(path)
        notifier.close()


def _kept_state(file: StateFile, compiled: Compiled, identity: privileges.Identity | None) -> State:
    """What was changed when the configuration ran last, as far as it still has it."""
    if identity is not None and compiled.plan["reverse"] is not None:
        try:
            privileges.give_folder(file.folder, StateFile.is_own, identity)
        except OperationError as error:
            # the proxy does without it
            report(str(error))
    with privileges.acting_as(identity):
        state = file.load(report)
    state.overlay, dropped = last_known(state.overlay, wishes_of(compiled.loaded)).pruned(compiled.plan)
    for note in dropped:
        report(note)
    return state


def _load_what_comes_later(names: Iterable[str]) -> None:
    """Imports what libraries import only when it is used.

    The user that the proxy becomes need not be able to read the folders that Python was installed in.
    """
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    passwords.load()


class _Service:
    """The event loop's side of one running proxy."""

    def __init__(
        self,
        proxy: Proxy,
        live: Live,
        path: Path,
        notifier: Notifier,
        *,
        watch: bool,
        on_ready: Callable[[], bool] | None,
    ) -> None:
        self._proxy = proxy
        self._live = live
        self._path = path
        self._notifier = notifier
        self._watch = watch
        self._seen = signature(self._watched()) if watch else {}
        self._certificates = Certificates(proxy, report)
        self._cache = Cache(proxy)
        self._ending = asyncio.Event()
        self._discovery = Discovery(proxy, live, report, self._ending)
        self._pools = Pools(proxy, live, self._discovery, report)
        self._canaries = Canaries(proxy, live, report)
        self._events = Events(proxy)
        self._on_ready = on_ready
        self._at_once = asyncio.Event()
        self._complete = False
        self._down = asyncio.Event()
        self._reloads = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, listener: Any) -> int:
        loop = asyncio.get_running_loop()
        handlers: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGTERM: self._end,
            signal.SIGINT: self._end,
            signal.SIGHUP: lambda: self._spawn(self._reload_reported("SIGHUP")),
            signal.SIGUSR1: self._reopen_logs,
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        control = server.ControlServer(
            listener,
            {
                "ping": self._ping,
                "status": self._status,
                "reload": self._reload_asked,
                "stop": self._stop_asked,
                "certificates": self._certificates.shown,
                "renew": self._certificates.renewed,
                "cache.stats": self._cache.stats,
                "cache.purge": self._cache.purge,
                "cache.get": self._cache.get,
                "pool.status": self._pools.status,
                "pool.drain": self._pools.drain,
                "pool.restore": self._pools.restore,
                "pool.add": self._pools.add,
                "pool.remove": self._pools.remove,
                "canary.status": self._canaries.status,
                "canary.set": self._canaries.set,
                "canary.promote": self._canaries.promote,
                "canary.abort": self._canaries.abort,
                "canary.resume": self._canaries.resume,
                "canary.diff": Mirrors(self._proxy).diff,
            },
        )
        async with self._reloads:
            # looking for servers may take its time, and a signal ends the wait for it
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            await self._discovery.begin()
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            self._live.put_back()
            await self._canaries.follow()
            self._proxy.start()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        await control.start()
        self._announce()
        self._spawn(self._print_warnings())
        if self._notifier.watchdog is not None:
            self._spawn(self._feed(self._notifier.watchdog / 2))
        self._spawn(self._certificates.follow(self._ending))
        self._spawn(self._canaries.run())
        if self._watch:
            self._spawn(self._follow_files())
        if self._on_ready is not None:
            self._spawn(self._call(self._on_ready))
        await self._ending.wait()
        await self._shut_down()
        await control.finish()
        for task in self._tasks:
            task.cancel()
        return 0

    async def _call(self, on_ready: Callable[[], bool]) -> None:
        try:
            go_on = await asyncio.to_thread(on_ready)
        except BaseException:
            self._ending.set()
            raise
        if not go_on:
            self._ending.set()

    # ---- ending

    def _end(self) -> None:
        if self._at_once.is_set():
            os._exit(1)
        if self._ending.is_set():
            self._at_once.set()
        self._ending.set()

    async def _shut_down(self) -> None:
        seconds = self._proxy.settings.drain
        self._notifier.stopping("draining")
        report(f"draining for up to {seconds:g} s; a second signal stops at once")
        drain = asyncio.ensure_future(asyncio.to_thread(self._proxy.drain, seconds))
        impatience = asyncio.ensure_future(self._at_once.wait())
        await asyncio.wait({drain, impatience}, return_when=asyncio.FIRST_COMPLETED)
        impatience.cancel()
        await self._discovery.finish()
        await self._canaries.finish(at_once=self._at_once.is_set())
        # Stopping also ends a drain that is still waiting.
        await asyncio.to_thread(self._proxy.stop)
        complete = await drain and not self._at_once.is_set()
        for line in (*self._events.lines(), *self._proxy.warnings()):
            report(line)
        report("stopped" if complete else "stopped; some connections were cut off")
        self._complete = complete
        self._down.set()

    async def _stop_asked(self, _: Mapping[str, Any], progress: server.Progress) -> dict[str, Any]:
        self._ending.set()
        waited = 0.0
        while not self._down.is_set():
            await progress({"seconds": waited, "connections": self._proxy.connections()})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._down.wait(), PROGRESS_EVERY)
            waited += PROGRESS_EVERY
        return {"complete": self._complete}

    # ---- reloading

    async def _reload(self) -> Reloaded:
        async with self._reloads:
            self._notifier.reloading()
            try:
                async with self._discovery.reloading() as find:
                    done = await asyncio.to_thread(self._proxy.reload, find)
                self._live.put_back()
                await self._canaries.follow()
                await self._live.save()
                return done
            finally:
                self._notifier.ready(self._sentence())

    async def _reload_asked(self, _: Mapping[str, Any], __: server.Progress) -> dict[str, Any]:
        try:
            done = await self._reload()
        except ReviverError as error:
            _report_failure(error)
            raise
        _report_reload(done)
        return done.as_dict()

    async def _reload_reported(self, cause: str) -> None:
        report(f"{cause}: reloading {self._proxy.source.name}")
        try:
            _report_reload(await self._reload())
        except ReviverError as error:
            _report_failure(error)

    async def _follow_files(self) -> None:
        async for _ in changes(self._watched, self._seen, self._ending):
            await self._reload_reported("files have changed")

    def _watched(self) -> frozenset[Path]:
        """The files that `--watch` is about; certificates are always followed."""
        return self._proxy.files - self._proxy.compiled.certificate_files.keys()

    # ---- the rest

    async def _ping(self, _: Mapping[str, Any], __: server.Progress) -> dict[str, Any]:
        return {"version": __version__}

    async def _status(self, _: Mapping[str, Any], __: server.Progress) -> dict[str, Any]:
        return {**self._proxy.status(), "control": str(self._path), "draining": self._ending.is_set()}

    def _reopen_logs(self) -> None:
        try:
            self._proxy.reopen_logs()
        except ReviverError as error:
            report(str(error))
        else:
            report("log files were opened anew")

    async def _print_warnings(self) -> None:
        while True:
            for line in (*self._events.lines(), *self._proxy.warnings()):
                report(line)
            await asyncio.sleep(WARNINGS_EVERY)

    async def _feed(self, seconds: float) -> None:
        while True:
            self._notifier.alive()
            await asyncio.sleep(seconds)

    def _announce(self) -> None:
        plan = self._proxy.compiled.plan
        for listener in plan["listeners"]:
            tls = ", TLS" if listener["tls"] is not None else ""
            report(f"{listener['name']}: {listener['role']} on {', '.join(listener['bind'])}{tls}")
        workers = f"{plan['workers']} worker{'s' if plan['workers'] != 1 else ''}"
        user = f", as {self._proxy.identity}" if self._proxy.identity else ""
        report(f"{workers}, up to {self._proxy.file_limit} open files{user}; control socket {self._path}")
        report(f"{__version__} serves {self._proxy.source.name}")
        self._notifier.ready(self._sentence())

    def _sentence(self) -> str:
        count = len(self._proxy.compiled.plan["listeners"])
        return f"serving {self._proxy.source.name} on {count} listener{'s' if count != 1 else ''}"

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            report(f"internal error: {type(error).__name__}: {error}")


def _report_reload(done: Reloaded) -> None:
    for note in done.notes:
        report(note)
    report(f"reloaded: epoch {done.epoch}" if done.changed else f"nothing has changed: epoch {done.epoch}")


def _report_failure(error: ReviverError) -> None:
    lines = [str(item) for item in error.diagnostics] if isinstance(error, ConfigurationError) else [str(error)]
    for line in lines:
        report(line)
    report("not reloaded; the running configuration goes on")
