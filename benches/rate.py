"""The most common measurement: requests for some seconds, and the CPU time of each."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benches.bench import Bench, Measure, Metric, Row, Scenario
from benches.loads import Load, MeasureError, Result
from benches.processes import Managed

ERRORS_ALLOWED = 0.0005


def rate_metrics(unit: str = "request", units: str = "requests") -> tuple[Metric, ...]:
    """The columns of `sample`.

    A proxy whose core is not full does less work at a time: its rate is then the load's, not its own.
    """
    return (
        Metric("cpu_us", f"CPU µs/{unit}"),
        Metric("rate", f"{units}/s", 0),
        Metric("p50_ms", "p50 ms", 2),
        Metric("p99_ms", "p99 ms", 2),
        Metric("pss_mib", "PSS MiB"),
        Metric("busy", "core busy %", 0),
    )


def sample(
    bench: Bench, process: Managed, port: int, load: Load, seconds: float | None = None, after: float | None = None
) -> Row:
    """Puts the load on a proxy once, for as many seconds as the settings say unless told; memory is looked at in the
    middle, or after so many seconds.

    Raises MeasureError where too many requests fail.
    """
    pss: list[int] = []
    cpu, began = process.cpu_ns(), time.monotonic()
    result = bench.put(load, port, seconds or bench.settings.seconds, lambda: pss.append(process.pss_kib()), after)
    cpu, wall = process.cpu_ns() - cpu, time.monotonic() - began
    bounded(result)
    return {
        "cpu_us": cpu / 1e3 / result.requests,
        "rate": result.requests / result.seconds,
        "p50_ms": result.p50_us / 1e3,
        "p99_ms": result.p99_us / 1e3,
        "pss_mib": pss[0] / 1024,
        "busy": cpu / 1e7 / wall,
        "requests": result.requests,
    }


def bounded(result: Result) -> Result:
    """The result; raises MeasureError where more requests failed than may."""
    if result.errors > ERRORS_ALLOWED * result.requests:
        asked = result.requests + result.errors
        raise MeasureError(f"{result.errors} of {asked} requests failed: {result.first_error or 'wrk gives no reason'}")
    return result


@dataclass
class Rate(Scenario):
    """Requests for some seconds; what counts is the CPU time of each."""

    name: str
    title: str
    load: Load
    about: str
    unit: str = "request"
    units: str = "requests"
    main: str = "cpu_us"

    def __post_init__(self) -> None:
        self.metrics = rate_metrics(self.unit, self.units)

    def subjects(self, bench: Bench) -> list[str]:
        """All peers that can do it."""
        return [
            name
            for name, peer in bench.peers.items()
            if self.load.mode in peer.modes and not (self.load.close and peer.floor)
        ]

    @contextlib.contextmanager
    def session(self, bench: Bench, subject: str) -> Iterator[Measure]:
        """Starts the peer once, warm, for all rounds."""
        with bench.running(subject) as (process, launch):
            port = launch.ports[self.load.mode]
            bench.put(self.load, port, bench.settings.warmup)
            yield lambda: sample(bench, process, port, self.load)
