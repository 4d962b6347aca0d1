"""The scenarios: what is asked of the proxies and what is counted."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benches.balancing import BALANCE_SCENARIOS
from benches.bench import SETTLE_SECONDS, Bench, Measure, Metric, Row, Scenario
from benches.caching import CACHE_SCENARIOS
from benches.loads import MeasureError, Requests, Tunnels
from benches.peers import Mode
from benches.processes import pinned
from benches.rate import Rate
from benches.secure import Handshakes, Streams


class Idle(Scenario):
    """Connections that rest after one request; what counts is the memory of each."""

    name = "idle"
    title = "Idle connections"
    about = (
        "Keep-alive connections of clients, each after one 1 KiB request, at rest; a fresh process each round, warmed "
        "up with 64 connections. Memory is what the processes have more than before, by connection (PSS; the kernel's "
        "socket memory is the same for all and not in it)."
    )
    metrics = (
        Metric("kib", "KiB/connection", 2),
        Metric("before_mib", "PSS before MiB"),
        Metric("after_mib", "PSS after MiB"),
    )
    main = "kib"
    most_rounds = 2

    def subjects(self, bench: Bench) -> list[str]:
        """All peers but the floor, which has no idea of idle."""
        return [name for name, peer in bench.peers.items() if not peer.floor]

    @contextlib.contextmanager
    def session(self, bench: Bench, subject: str) -> Iterator[Measure]:
        """Nothing is shared between rounds."""
        yield lambda: self._sample(bench, subject)

    def _sample(self, bench: Bench, subject: str) -> Row:
        count = bench.settings.idle_connections
        with bench.running(subject) as (process, launch):
            mode = Mode.REVERSE if Mode.REVERSE in launch.ports else Mode.FORWARD
            port = launch.ports[mode]
            bench.warm(port, mode)
            time.sleep(SETTLE_SECONDS)
            before = process.pss_kib()
            target, host = Requests(mode, 1024, 1).target(bench.origin)
            words = ["idle", f"127.0.0.1:{port}", target, host, "--connections", str(count)]
            argv = pinned(bench.load_core, [str(bench.toolbox.programs["loadgen"]), *words])
            with subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as holder:
                assert holder.stdout is not None
                if holder.stdout.readline() != "ready\n":
                    raise MeasureError(f"{count} connections could not be held: {holder.communicate()[1].strip()}")
                time.sleep(SETTLE_SECONDS)
                after = process.pss_kib()
                still_open = int(holder.communicate()[0])
            if still_open != count:
                raise MeasureError(f"only {still_open} of {count} idle connections were still open")
        return {"kib": (after - before) / count, "before_mib": before / 1024, "after_mib": after / 1024}


class StartUp(Scenario):
    """How long a command takes."""

    name = "start-up"
    title = "Start-up time"
    about = "Wall and CPU time of short commands, five runs each round; an empty Python is the floor."
    metrics = (Metric("wall_ms", "wall ms", 0), Metric("cpu_ms", "CPU ms", 0))
    main = "wall_ms"
    runs = 5

    def commands(self, bench: Bench) -> dict[str, list[str]]:
        """The commands by the name that they have in the table."""
        configuration = bench.folder / "small.yaml"
        configuration.write_text(
            f'listeners: {{web: {{bind: "127.0.0.1:{bench.port("Reviver")}", role: reverse}}}}\n'
            f'reverse: {{routes: [{{pool: app}}], pools: {{app: {{servers: ["127.0.0.1:{bench.origin.http}"]}}}}}}\n'
        )
        reviver = str(bench.toolbox.programs["reviver"])
        return {
            "reviver --version": [reviver, "--version"],
            "reviver check": [reviver, "check", str(configuration)],
            "python -c pass": [str(bench.toolbox.programs["python"]), "-c", "pass"],
        }

    def subjects(self, bench: Bench) -> list[str]:
        """The commands; none where Reviver is not measured."""
        return list(self.commands(bench)) if "Reviver" in bench.peers else []

    @contextlib.contextmanager
    def session(self, bench: Bench, subject: str) -> Iterator[Measure]:
        """One run unmeasured, which fills the file cache."""
        argv = self.commands(bench)[subject]
        self._time(bench, argv)
        yield lambda: self._sample(bench, argv)

    def _sample(self, bench: Bench, argv: list[str]) -> Row:
        wall, cpu = zip(*(self._time(bench, argv) for _ in range(self.runs)), strict=True)
        return {"wall_ms": sorted(wall)[self.runs // 2], "cpu_ms": sorted(cpu)[self.runs // 2]}

    def _time(self, bench: Bench, argv: list[str]) -> tuple[float, float]:
        began = time.monotonic()
        process = subprocess.Popen(
            pinned(bench.proxy_core, argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise MeasureError(f"{Path(argv[0]).name} {' '.join(argv[1:])} exited with {process.returncode}")
        return wall * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3


class Soak(Scenario):
    """Whether memory grows with the number of requests."""

    name = "soak"
    title = "Soak"
    about = "Memory before and after many 1 KiB requests over 64 connections, after a warm-up of 50,000."
    metrics = (
        Metric("growth_kib", "growth KiB", 0),
        Metric("before_mib", "PSS before MiB", 2),
        Metric("after_mib", "PSS after MiB", 2),
        Metric("requests", "requests", 0),
    )
    main = "growth_kib"
    most_rounds = 1
    warmup_requests = 50_000

    def subjects(self, bench: Bench) -> list[str]:
        """Reviver only: a million requests take the slow peers minutes."""
        return [f"Reviver, {mode.value}" for mode in (Mode.REVERSE, Mode.FORWARD)] if "Reviver" in bench.peers else []

    @contextlib.contextmanager
    def session(self, bench: Bench, subject: str) -> Iterator[Measure]:
        """Nothing is shared between rounds."""
        yield lambda: self._sample(bench, Mode(subject.rpartition(" ")[2]))

    def _sample(self, bench: Bench, mode: Mode) -> Row:
        with bench.running("Reviver") as (process, launch):
            target, host = Requests(mode, 1024, 64).target(bench.origin)
            loadgen = str(bench.toolbox.programs["loadgen"])
            argv = [loadgen, "http", f"127.0.0.1:{launch.ports[mode]}", target, host, "--connections", "64"]

            def send(requests: int) -> int:
                result = bench.drive([*argv, "--seconds", "3600", "--requests", str(requests)], 3600)
                if result.errors:
                    raise MeasureError(f"{result.errors} connections failed: {result.first_error}")
                return result.requests

            send(self.warmup_requests)
            time.sleep(SETTLE_SECONDS)
            before = process.pss_kib()
            sent = send(bench.settings.soak_requests)
            time.sleep(SETTLE_SECONDS)
            after = process.pss_kib()
        return {
            "growth_kib": after - before,
            "before_mib": before / 1024,
            "after_mib": after / 1024,
            "requests": sent,
        }


KIB, MIB = 1024, 1024 * 1024
REVERSE, FORWARD, TLS = Mode.REVERSE, Mode.FORWARD, Mode.TLS
KEPT = "kept connections on both sides"
SUITE = "TLS 1.3 (X25519, AES-128-GCM)"
H2_IN = f"HTTP/2 over {SUITE} from 10 clients with 10 streams at a time each"

SCENARIOS: tuple[Scenario, ...] = (
    Rate("reverse-1k", "Reverse, 1 KiB", Requests(REVERSE, KIB, 64), f"64 {KEPT}."),
    Rate("reverse-64k", "Reverse, 64 KiB", Requests(REVERSE, 64 * KIB, 32), f"32 {KEPT}."),
    Rate("reverse-1m", "Reverse, 1 MiB", Requests(REVERSE, MIB, 16), f"16 {KEPT}."),
    Rate("forward-1k", "Forward, 1 KiB", Requests(FORWARD, KIB, 64), f"Absolute-form requests, 64 {KEPT}."),
    Rate("forward-64k", "Forward, 64 KiB", Requests(FORWARD, 64 * KIB, 32), f"Absolute-form requests, 32 {KEPT}."),
    Rate("forward-1m", "Forward, 1 MiB", Requests(FORWARD, MIB, 16), f"Absolute-form requests, 16 {KEPT}."),
    Rate(
        "reverse-churn",
        "Reverse, new connections",
        Requests(REVERSE, KIB, 64, close=True),
        "1 KiB, 64 clients at a time, each request on a new connection with `Connection: close`; upstream kept.",
    ),
    Rate(
        "forward-churn",
        "Forward, new connections",
        Requests(FORWARD, KIB, 64, close=True),
        "The same with absolute-form requests.",
    ),
    Rate(
        "connect-bulk",
        "CONNECT, bulk",
        Tunnels("bulk", 8),
        "8 tunnels, the origin sends without end; the unit is 1 MiB.",
        unit="MiB",
        units="MiB",
    ),
    Rate(
        "connect-pingpong",
        "CONNECT, small messages",
        Tunnels("pingpong", 32),
        "32 tunnels, 64 bytes there and back; the unit is one round trip.",
        unit="round trip",
        units="round trips",
    ),
    Rate("reverse-tls-1k", "TLS, 1 KiB", Streams(TLS, KIB, 64), f"HTTP/1.1 over {SUITE}, 64 {KEPT}."),
    Rate("reverse-tls-1m", "TLS, 1 MiB", Streams(TLS, MIB, 16), f"HTTP/1.1 over {SUITE}, 16 {KEPT}."),
    Rate(
        "tls-handshakes",
        "TLS, full handshakes",
        Handshakes(KIB, 32),
        f"{SUITE}, certificates with ECDSA keys (P-256), 32 clients at a time; each request, 1 KiB, on a new "
        "connection with a full handshake; upstream kept.",
        unit="handshake",
        units="handshakes",
    ),
    Rate(
        "tls-resumed",
        "TLS, resumed handshakes",
        Handshakes(KIB, 32, resumed=True),
        "The same, each connection with a ticket from the one before.",
        unit="handshake",
        units="handshakes",
    ),
    Rate("h2-10", "HTTP/2, 10 streams", Streams(TLS, KIB, 10, 10), f"{H2_IN}, HTTP/1.1 to the origin; 1 KiB."),
    Rate(
        "h2-100",
        "HTTP/2, 100 streams",
        Streams(TLS, KIB, 10, 100),
        "The same with 100 streams at a time on each.",
    ),
    Rate(
        "h2-both",
        "HTTP/2 on both sides",
        Streams(Mode.H2, KIB, 10, 10),
        f"{H2_IN}, HTTP/2 in the clear to the origin (nghttpd); 1 KiB.",
    ),
    *CACHE_SCENARIOS,
    *BALANCE_SCENARIOS,
    Idle(),
    StartUp(),
    Soak(),
)
