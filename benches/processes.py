"""Processes that are measured: started on one core, read through /proc, and always ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PROC = Path("/proc")
START_SECONDS = 20.0
STOP_SECONDS = 8.0


class StartError(Exception):
    """A program did not start; the text is one line for a person."""


class Managed:
    """One program with all its children, in a process group of its own and pinned to one core.

    Leaving the context ends every process of it, whatever they did with their group.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        core: int,
        log: Path,
        ports: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """`ports` are those on loopback that accept once it is ready; `log` takes stdout and stderr."""
        self.argv = [str(word) for word in argv]
        self.core = core
        self.log = log
        self.ports = tuple(ports)
        self.environment = {**os.environ, **(environment or {})}
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that was started; raises StartError before that."""
        if self._process is None:
            raise StartError(f"{self.argv[0]} is not running")
        return self._process.pid

    def __enter__(self) -> Self:
        for port in self.ports:
            if accepts(port):
                raise StartError(f"port {port} on loopback is taken; choose another --port-base")
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                pinned(self.core, self.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,
            )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + START_SECONDS
        while not all(accepts(port) for port in self.ports):
            if process.poll() is not None or time.monotonic() > until:
                last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
                raise StartError(f"{Path(self.argv[0]).name} did not start: {''.join(last) or 'it said nothing'}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends the program and its children: politely first, then surely."""
        process, self._process = self._process, None
        if process is None:
            return
        pids = family(process.pid)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        for pid, started in pids.items():
            if lives(pid, started):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        process.wait()
        # a killed process keeps its ports until it is gone
        until = time.monotonic() + STOP_SECONDS
        while any(lives(pid, started) for pid, started in pids.items()) and time.monotonic() < until:
            time.sleep(0.005)

    def cpu_ns(self) -> int:
        """Run time of all its processes and threads, user and system, in nanoseconds."""
        return sum(run_time_ns(pid) for pid in family(self.pid))

    def pss_kib(self) -> int:
        """Proportional set size of all its processes, in KiB."""
        return sum(proportional_kib(pid) for pid in family(self.pid))


def pinned(core: int, argv: Sequence[str]) -> list[str]:
    """The command that runs `argv` on one core, and that dies with the benchmark however that ends."""
    return ["setpriv", "--pdeathsig", "KILL", "taskset", "--cpu-list", str(core), *argv]


def accepts(port: int) -> bool:
    """Whether something listens on that port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def family(root: int) -> dict[int, int]:
    """A process, its session and all descendants: process id to start time."""
    parents: dict[int, int] = {}
    found: set[int] = {root}
    for pid, fields in _stats():
        parents[pid] = int(fields[1])
        if int(fields[3]) == root:
            found.add(pid)
    grown = True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in found}
        grown = not children <= found
        found |= children
    return {pid: start_time(pid) for pid in found if pid in parents}


def _stats() -> Iterator[tuple[int, list[str]]]:
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                yield int(entry.name), fields


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on (the second may hold anything); empty when it is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def start_time(pid: int) -> int:
    """When the process started, in ticks since boot; 0 when there is none."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def lives(pid: int, started: int) -> bool:
    """Whether that very process still runs; one that is dead and waits for its parent does not."""
    fields = _stat(pid)
    return bool(fields) and int(fields[19]) == started and fields[0] not in "ZX"


def run_time_ns(pid: int) -> int:
    """Run time of one process in nanoseconds, from the scheduler: exact, where /proc/PID/stat counts ticks."""
    total = 0
    with contextlib.suppress(OSError):
        for task in (PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
    return total


def proportional_kib(pid: int) -> int:
    """Proportional set size of one process in KiB; 0 when it is gone."""
    with contextlib.suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
