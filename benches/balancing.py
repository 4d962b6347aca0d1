"""The scenarios of load balancing: what choosing costs, what a slow server does, and what health checks cost."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benches.bench import Bench, Measure, Metric, Row, Scenario
from benches.fleets import EnvoyFleet, Fleet, HaproxyFleet, ReviverFleet, Service
from benches.loads import MeasureError, Replay
from benches.peers import Launch, Origin
from benches.processes import Managed
from benches.rate import bounded, rate_metrics, sample

KIB = 1024
CONNECTIONS = 64
BALANCERS = (
    "round_robin",
    "least_requests",
    "power_of_two",
    "random",
    "hash",
    "maglev",
    "peak_ewma",
    "first",
)
BASE, AGAIN = "one server", "one server, again"
# what so many connections cost somebody else
THEIR_BASE, THEIRS = "HAProxy, one server", "HAProxy, roundrobin"
# paths that are asked for in turn, so that a hash has something to divide
PATHS = tuple(f"/{number}/{KIB}" for number in range(10_000))
# seconds: short, so that what is compared is disturbed alike
SLICE = 0.25
# ports after the first that the benchmark has: for all of loopback, and for fast and slow servers
EVERYWHERE, FAST, SLOW = 5, 6, 7
# milliseconds that servers take
FAST_TAKES, SLOW_TAKES = 20, 200
# seconds until whoever looks for slow servers has found one
NOTICED = 2.5
THOUSAND = 1000
# Reviver's default
CHECK_EVERY = 5.0


def server(number: int, port: int) -> str:
    """One of many addresses of loopback."""
    return f"127.1.{number // 250}.{number % 250 + 1}:{port}"


@contextlib.contextmanager
def answering(bench: Bench, place: int, takes: int = 0) -> Iterator[int]:
    """Servers at all addresses of loopback, on the load's core: their port. Each answers after so many milliseconds."""
    port = bench.settings.port_base + place
    argv = [str(bench.toolbox.programs["loadgen"]), "cacheable", f"0.0.0.0:{port}", "--wait", str(takes)]
    with Managed(argv, core=bench.load_core, log=bench.folder / f"servers-{port}.log", ports=[port]):
        yield port


@contextlib.contextmanager
def standing(bench: Bench, kind: type[Fleet], place: int, service: Service) -> Iterator[tuple[Managed, int]]:
    """A freshly started proxy in front of these servers, at one of its peer's ten ports, and that port."""
    fleet = kind(bench.peers[kind.peer])
    port = bench.port(kind.peer) + place

    def prepare(folder: Path, port: int, _: Origin) -> Launch:
        return fleet.prepare(folder, port, service)

    with bench.started(prepare, port) as (process, _):
        yield process, port


def asking(bench: Bench, paths: tuple[str, ...]) -> Replay:
    """Over kept connections, for these in turn."""
    path = bench.folder / f"{len(paths)}.paths"
    path.write_text("".join(f"{line}\n" for line in paths))
    return Replay(path, CONNECTIONS)


class Balance(Scenario):
    """Each balancer beside one server, which leaves nothing to choose."""

    main = "over"
    metrics = (Metric("over", "% over one server", 2), *rate_metrics())
    most_rounds = 3

    def __init__(self, servers: int) -> None:
        self.name = f"balance-{servers}"
        self.title = f"Balancers, {servers:,} servers"
        self.about = (
            f"Reviver, 1 KiB, {CONNECTIONS} kept connections, {len(PATHS):,} paths in turn; a process for each "
            f"balancer, in front of {servers:,} addresses of loopback, and one with one server and "
            "`round_robin`, which all are compared with: both are asked in turn, a quarter of a second each. The same "
            "*again* is how far two that do the same are apart. HAProxy is compared with HAProxy and one server: the "
            "kernel and the caches of the processor take longer with more connections, whoever has them."
        )
        self.servers = servers
        self._bases: dict[type[Fleet], tuple[Managed, int]] = {}

    def subjects(self, bench: Bench) -> list[str]:
        """The bases before those who are compared with them; none without Reviver."""
        theirs = [THEIR_BASE, THEIRS] * (HaproxyFleet.peer in bench.peers)
        return [BASE, AGAIN, *BALANCERS, *theirs] if ReviverFleet.peer in bench.peers else []

    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        """One origin has all addresses."""
        self._bases.clear()
        with answering(bench, EVERYWHERE):
            yield

    def service(self, bench: Bench, subject: str) -> Service:
        """All servers, or the first alone."""
        port = bench.settings.port_base + EVERYWHERE
        one = subject in (BASE, AGAIN, THEIR_BASE)
        balance = "roundrobin" if subject in (THEIR_BASE, THEIRS) else "round_robin" if one else subject
        return Service([server(number, port) for number in range(1 if one else self.servers)], balance)

    @contextlib.contextmanager
    def session(self, bench: Bench, subject: str) -> Iterator[Measure]:
        """Starts it once, with connections to all servers."""
        kind = HaproxyFleet if subject in (THEIR_BASE, THEIRS) else ReviverFleet
        # of Reviver's ten ports all are needed
        place = self.subjects(bench).index(subject) % 10
        with standing(bench, kind, place, self.service(bench, subject)) as mine:
            load = asking(bench, PATHS)
            bounded(bench.put(load, mine[1], bench.settings.warmup))
            if subject in (BASE, THEIR_BASE):
                self._bases[kind] = mine
                yield lambda: sample(bench, *mine, load)
            elif (base := self._bases.get(kind)) is not None:
                yield lambda: self._beside(bench, base, mine, load)
            else:
                raise MeasureError("there is nothing to compare it with")

    def _beside(self, bench: Bench, base: tuple[Managed, int], mine: tuple[Managed, int], load: Replay) -> Row:
        rows: list[Row] = []
        ratios = []
        for number in range(max(2, round(bench.settings.seconds / SLICE))):
            # what gets slower all the time must not always hit the same
            order = (base, mine) if number % 2 == 0 else (mine, base)
            found = {who[1]: sample(bench, *who, load, SLICE) for who in order}
            rows.append(found[mine[1]])
            ratios.append(rows[-1]["cpu_us"] / found[base[1]]["cpu_us"])
        means = {metric.key: statistics.mean(row[metric.key] for row in rows) for metric in rate_metrics()}
        return {"over": 100 * (statistics.median(ratios) - 1), **means}


@dataclass(frozen=True)
class Chooser:
    """Somebody who may see that a server is slow."""

    kind: type[Fleet]
    balance: str
    more: Mapping[str, Any] = field(default_factory=dict)


EJECTING = "Reviver, power_of_two and outlier"
CHOOSERS = {
    "Reviver, power_of_two": Chooser(ReviverFleet, "power_of_two"),
    EJECTING: Chooser(ReviverFleet, "power_of_two", {"outlier": {"latency": True, "every": "1s"}}),
    "Reviver, least_requests": Chooser(ReviverFleet, "least_requests"),
    "Reviver, peak_ewma": Chooser(ReviverFleet, "peak_ewma"),
    "HAProxy, leastconn": Chooser(HaproxyFleet, "leastconn"),
    "Envoy, LEAST_REQUEST": Chooser(EnvoyFleet, "LEAST_REQUEST"),
}


class BalanceSlow(Scenario):
    """One of three servers is ten times slower: how many notice."""

    name = "balance-slow"
    title = "One of three servers is slow"
    about = (
        f"1 KiB, {CONNECTIONS} kept connections; two servers answer after {FAST_TAKES} ms, the third after "
        f"{SLOW_TAKES} ms. *p99 without* is that of the same proxy in front of the other two alone, measured just "
        "before. As long as more than one of a hundred requests goes to the slow server, it is p99. With *outlier* "
        f"the pool has `outlier: {{latency: true, every: 1s}}` and has been asked for {NOTICED:g} s before the clock "
        "runs."
    )
    metrics = (
        Metric("p99_ms", "p99 ms"),
        Metric("without_ms", "p99 without, ms"),
        Metric("over", "x without", 2),
        Metric("slow", "requests to it %", 2),
        Metric("p50_ms", "p50 ms"),
        Metric("cpu_us", "CPU µs/request"),
    )
    main = "p99_ms"
    most_rounds = 3

    def subjects(self, bench: Bench) -> list[str]:
        """Those that are there."""
        return [name for name, chooser in CHOOSERS.items() if chooser.kind.peer in bench.peers]

    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        """Fast and slow servers."""
        with answering(bench, FAST, FAST_TAKES), answering(bench, SLOW, SLOW_TAKES):
            yield

    @contextlib.contextmanager
    def session(self, bench: Bench, subject: str) -> Iterator[Measure]:
        """Two processes, with the slow server and without."""
        chooser = CHOOSERS[subject]
        fast, slow = (bench.settings.port_base + place for place in (FAST, SLOW))
        two = [server(0, fast), server(1, fast)]
        place = 2 * list(CHOOSERS).index(subject) if chooser.kind is ReviverFleet else 0
        with (
            standing(bench, chooser.kind, place, Service(two, chooser.balance, more=chooser.more)) as without,
            standing(
                bench,
                chooser.kind,
                place + 1,
                Service([*two, server(2, slow)], chooser.balance, more=chooser.more),
            ) as together,
        ):
            yield lambda: self._sample(bench, without, together, slow)

    def _sample(self, bench: Bench, without: tuple[Managed, int], together: tuple[Managed, int], slow: int) -> Row:
        load = asking(bench, PATHS[:1])
        bounded(bench.put(load, without[1], bench.settings.warmup))
        before = sample(bench, *without, load)
        bounded(bench.put(load, together[1], NOTICED))
        count = bench.fetches(slow)
        row = sample(bench, *together, load)
        return {
            **row,
            "without_ms": before["p99_ms"],
            "over": row["p99_ms"] / before["p99_ms"],
            "slow": 100 * (bench.fetches(slow) - count) / row["requests"],
        }


class HealthChecks(Scenario):
    """A proxy that has nothing to do but to look after its servers."""

    name = "health-1000"
    title = "Health checks of 1,000 servers"
    about = (
        f"{THOUSAND:,} addresses of loopback are checked by HTTP every {CHECK_EVERY:g} s (Reviver's default; HAProxy's "
        "is 2 s) by a proxy that has no other work, beside one that checks none; fresh processes each round. "
        "Reviver keeps the connections of its checks."
    )
    metrics = (
        Metric("core", "% of a core for checks", 2),
        Metric("idle", "% without checks", 2),
        Metric("each_us", "CPU µs/check"),
        Metric("rate", "checks/s", 0),
        Metric("pss_mib", "PSS MiB"),
    )
    main = "core"
    most_rounds = 3
    kinds: tuple[type[Fleet], ...] = (ReviverFleet, HaproxyFleet)
    # of the checks that are due, which jitter makes a few less
    enough = 0.8

    def subjects(self, bench: Bench) -> list[str]:
        """Those that check by themselves."""
        return [kind.peer for kind in self.kinds if kind.peer in bench.peers]

    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        """One origin has all addresses."""
        with answering(bench, EVERYWHERE):
            yield

    @contextlib.contextmanager
    def session(self, bench: Bench, subject: str) -> Iterator[Measure]:
        """Nothing is shared between rounds: who waits for its turn would check too."""
        kind = next(kind for kind in self.kinds if kind.peer == subject)
        yield lambda: self._sample(bench, kind)

    def _sample(self, bench: Bench, kind: type[Fleet]) -> Row:
        port = bench.settings.port_base + EVERYWHERE
        servers = [server(number, port) for number in range(THOUSAND)]
        with (
            standing(bench, kind, 0, Service(servers, "random")) as (idle, _),
            standing(bench, kind, 1, Service(servers, "random", CHECK_EVERY)) as (checking, _),
        ):
            # the first checks open connections
            time.sleep(CHECK_EVERY if bench.settings.quick else 2 * CHECK_EVERY)
            count, busy, began = bench.fetches(port), (idle.cpu_ns(), checking.cpu_ns()), time.monotonic()
            time.sleep(CHECK_EVERY if bench.settings.quick else max(bench.settings.seconds, 2 * CHECK_EVERY))
            wall = time.monotonic() - began
            without, cpu = idle.cpu_ns() - busy[0], checking.cpu_ns() - busy[1]
            count = bench.fetches(port) - count
            pss = checking.pss_kib()
        due = THOUSAND * wall / CHECK_EVERY
        if count < self.enough * due:
            raise MeasureError(f"only {count} of {due:.0f} checks were made")
        return {
            "core": (cpu - without) / 1e7 / wall,
            "idle": without / 1e7 / wall,
            "each_us": (cpu - without) / 1e3 / count,
            "rate": count / wall,
            "pss_mib": pss / 1024,
        }


BALANCE_SCENARIOS: tuple[Scenario, ...] = (Balance(3), Balance(THOUSAND), BalanceSlow(), HealthChecks())
