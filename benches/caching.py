"""The scenarios of the cache: hits, misses, many who want the same, and the memory of what is kept."""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benches.bench import SETTLE_SECONDS, Bench, Measure, Metric, Row, Scenario
from benches.caches import CACHES, MIB, Cache, Room
from benches.loads import MeasureError, Replay, Unique
from benches.peers import Launch, Mode, Origin
from benches.processes import Managed
from benches.rate import bounded, rate_metrics, sample
from benches.workload import ZIPF, Workload, simulate

KIB = 1024
CONNECTIONS = 64
# passes over all objects until a whole one makes no fetch: what is written to disk may be late
PASSES = 6
PASS_PAUSE = 0.5
# longer than any pass takes
PATIENCE = 120.0
# when memory is looked at, where it is not known how long a load takes
LOOK = 2.0
# in memory: hits from disk come out of the page cache anyway, and what a file system takes to delete is no cache's
FILES = Path("/dev/shm")
SIMULATED = " (simulated)"


def caches(bench: Bench, fits: Callable[[type[Cache]], bool]) -> list[str]:
    """The names of those that are there and fit."""
    return [kind.name for kind in CACHES if kind.peer in bench.peers and fits(kind)]


@contextlib.contextmanager
def keeping(bench: Bench, name: str, room: Room) -> Iterator[tuple[Managed, int]]:
    """A freshly started cache that has nothing yet, and its port."""
    kind = next(kind for kind in CACHES if kind.name == name)
    cache = kind(bench.peers[kind.peer])
    # the last two of the peer's ten ports
    port = bench.port(kind.peer) + 8 + kind.plain

    with tempfile.TemporaryDirectory(prefix="reviver-bench-", dir=FILES if FILES.is_dir() else None) as files:
        # workers that give up root must get in
        Path(files).chmod(0o755)

        def prepare(folder: Path, port: int, origin: Origin) -> Launch:
            return cache.prepare(folder, Path(files), port, origin, room)

        with bench.started(prepare, port) as (process, launch):
            yield process, launch.ports[Mode.REVERSE]


def written(bench: Bench, name: str, targets: Sequence[str]) -> Path:
    """A file with these targets."""
    path = bench.folder / f"{name}.targets"
    path.write_text("".join(f"{target}\n" for target in targets))
    return path


def fill(bench: Bench, port: int, path: Path, count: int) -> None:
    """Asks for everything until all of it comes from the cache; raises MeasureError where it never does."""
    for _ in range(PASSES):
        before = bench.fetches()
        bounded(bench.put(Replay(path, CONNECTIONS, count), port, PATIENCE))
        fetched = bench.fetches() - before
        if fetched == 0:
            return
        time.sleep(PASS_PAUSE)
    raise MeasureError(f"it does not keep {count} objects: {fetched} were fetched again in pass {PASSES}")


@dataclass
class CacheHits(Scenario):
    """What is asked for has been asked for before: nothing may reach the origin."""

    name: str
    title: str
    about: str
    room: Room
    # what there is, and the order in which it is asked for
    objects: Sequence[str]
    order: Sequence[str]
    connections: int = CONNECTIONS
    main: str = "cpu_us"
    metrics: tuple[Metric, ...] = rate_metrics()

    def subjects(self, bench: Bench) -> list[str]:
        """Those that keep what they keep where this scenario wants it."""
        disk = self.room.disk is not None
        return caches(bench, lambda kind: not kind.plain and (kind.disk or not disk))

    @contextlib.contextmanager
    def session(self, bench: Bench, subject: str) -> Iterator[Measure]:
        """Starts it once; everything is kept before the clock runs."""
        with keeping(bench, subject, self.room) as (process, port):
            fill(bench, port, written(bench, f"{self.name}-all", self.objects), len(self.objects))
            load = Replay(written(bench, self.name, self.order), self.connections)
            bench.put(load, port, bench.settings.warmup)
            yield lambda: self._hits(bench, process, port, load)

    def _hits(self, bench: Bench, process: Managed, port: int, load: Replay) -> Row:
        before = bench.fetches()
        row = sample(bench, process, port, load)
        if fetched := bench.fetches() - before:
            raise MeasureError(f"{fetched} requests reached the origin: not all were hits")
        return row


class CacheMiss(Scenario):
    """Nothing is asked for twice: what keeping costs."""

    name = "cache-miss"
    title = "Cache: misses"
    about = (
        f"1 KiB, {CONNECTIONS} kept connections on both sides, no target twice, the cache full (64 MiB): each answer "
        "is fetched, kept, and drives out another."
    )
    main = "cpu_us"
    metrics = rate_metrics()
    room = Room(64 * MIB)
    # this many fill the room
    filling = 100_000

    def subjects(self, bench: Bench) -> list[str]:
        """All caches, and Reviver without one."""
        return caches(bench, lambda _: True)

    @contextlib.contextmanager
    def session(self, bench: Bench, subject: str) -> Iterator[Measure]:
        """Starts it once, full and warm."""
        with keeping(bench, subject, self.room) as (process, port):
            load = Unique(KIB, CONNECTIONS)
            targets = written(bench, self.name, [f"/fill{number}/{KIB}" for number in range(self.filling)])
            bounded(bench.put(Replay(targets, CONNECTIONS, self.filling), port, PATIENCE))
            yield lambda: self._misses(bench, process, port, load)

    def _misses(self, bench: Bench, process: Managed, port: int, load: Unique) -> Row:
        before = bench.fetches()
        row = sample(bench, process, port, load)
        if (fetched := bench.fetches() - before) < row["requests"]:
            raise MeasureError(f"only {fetched} of {row['requests']:.0f} requests reached the origin")
        return row


class CacheHerd(Scenario):
    """Many want the same at once."""

    name = "cache-herd"
    title = "Cache: a herd"
    about = "1,000 clients ask at once for one object of 1 KiB that is not there yet; the origin takes 300 ms."
    metrics = (
        Metric("fetches", "fetches", 0),
        Metric("p50_ms", "p50 ms", 0),
        Metric("p99_ms", "p99 ms", 0),
        Metric("cpu_ms", "CPU ms", 0),
    )
    main = "fetches"
    clients = 1_000

    def subjects(self, bench: Bench) -> list[str]:
        """All caches."""
        return caches(bench, lambda kind: not kind.plain)

    @contextlib.contextmanager
    def session(self, bench: Bench, subject: str) -> Iterator[Measure]:
        """One process for all rounds; each has an object of its own."""
        with keeping(bench, subject, Room(64 * MIB)) as (process, port):
            yield lambda: self._herd(bench, process, port)

    def _herd(self, bench: Bench, process: Managed, port: int) -> Row:
        targets = written(bench, self.name, [f"/slow/{time.monotonic_ns()}/{KIB}"])
        before, cpu = bench.fetches(), process.cpu_ns()
        result = bench.put(Replay(targets, self.clients, self.clients), port, PATIENCE)
        if result.errors:
            raise MeasureError(f"{result.errors} of {self.clients} requests failed: {result.first_error}")
        return {
            "fetches": bench.fetches() - before,
            "p50_ms": result.p50_us / 1e3,
            "p99_ms": result.p99_us / 1e3,
            "cpu_ms": (process.cpu_ns() - cpu) / 1e6,
        }


class CacheMemory(Scenario):
    """What a small object takes beside its body."""

    name = "cache-memory"
    title = "Cache: memory of small objects"
    objects, size = 100_000, 100
    # these open connections and buffers, and are not counted
    warming = 5_000
    about = (
        f"{objects:,} objects of {size} bytes are kept in memory, by a fresh process that keeps 5,000 others. "
        "Overhead is what the processes have more than before (PSS), less the bodies, by object: names, fields of the "
        "response (about 170 bytes here) and all that the cache needs to find it. HAProxy takes all of its memory at "
        "the start, in blocks of 1 KiB; nginx keeps files."
    )
    metrics = (
        Metric("overhead", "overhead, bytes/object", 0),
        Metric("bytes", "bytes/object", 0),
        Metric("before_mib", "PSS before MiB"),
        Metric("after_mib", "PSS after MiB"),
    )
    main = "overhead"
    most_rounds = 1

    def subjects(self, bench: Bench) -> list[str]:
        """Those whose processes get larger with what they keep."""
        return caches(bench, lambda kind: kind.grows and not kind.plain)

    @contextlib.contextmanager
    def session(self, bench: Bench, subject: str) -> Iterator[Measure]:
        """Nothing is shared between rounds."""
        yield lambda: self._sample(bench, subject)

    def _sample(self, bench: Bench, subject: str) -> Row:
        others = written(bench, f"{self.name}-others", [f"/w{number}/{self.size}" for number in range(self.warming)])
        all_of_them = written(bench, self.name, [f"/o{number}/{self.size}" for number in range(self.objects)])
        with keeping(bench, subject, Room(512 * MIB)) as (process, port):
            bench.put(Replay(others, CONNECTIONS, self.warming), port, PATIENCE)
            time.sleep(SETTLE_SECONDS)
            before = process.pss_kib()
            fill(bench, port, all_of_them, self.objects)
            time.sleep(SETTLE_SECONDS)
            after = process.pss_kib()
        each = (after - before) * 1024 / self.objects
        return {
            "overhead": each - self.size,
            "bytes": each,
            "before_mib": before / 1024,
            "after_mib": after / 1024,
        }


class CacheZipf(Scenario):
    """A cache that is too small for what is asked for: what it chooses to keep, and what the choice costs."""

    name = "cache-zipf"
    title = "Cache: a tenth of a Zipf workload"
    about = (
        f"{ZIPF.objects:,} objects (lognormal around 4 KiB, at most 64 KiB), asked for {ZIPF.requests:,} times with "
        f"the frequencies of Zipf's law ({ZIPF.alpha}), the same trace for all, from an empty cache with room for a "
        "tenth of the bytes. Hits are what did not reach the origin. nginx looks at its bound of bytes seldom, so that "
        "its bound of keys is what holds: as many as a tenth of the objects. Of its two builds the faster is measured. "
        "The simulated policies (libCacheSim) have the same room for bodies alone; Belady knows the future."
    )
    metrics = (Metric("hit", "hits %", 2), *rate_metrics())
    main = "cpu_us"
    most_rounds = 1
    policies = ("Belady", "GDSF", "W-TinyLFU", "S3-FIFO", "LRU")
    # the slower build, and one whose pages of 4 KiB leave no room here for most of what is small
    left_out = ("nginx", "Squid")
    # few, so that the order in which they are served is the trace's
    connections = 16

    def workload(self, bench: Bench) -> Workload:
        """A shorter one for a quick run."""
        return ZIPF.shorter(10) if bench.settings.quick else ZIPF

    def subjects(self, bench: Bench) -> list[str]:
        """The caches, then the simulated ones."""
        names = caches(bench, lambda kind: not kind.plain and kind.name not in self.left_out)
        simulated = [policy + SIMULATED for policy in self.policies]
        return names + simulated * ("libcachesim" in bench.toolbox.programs)

    @contextlib.contextmanager
    def session(self, bench: Bench, subject: str) -> Iterator[Measure]:
        """Nothing is shared between rounds."""
        if subject.endswith(SIMULATED):
            hits = simulate(bench.toolbox, self.workload(bench), subject.removesuffix(SIMULATED))
            yield lambda: {"hit": hits}
        else:
            yield lambda: self._replayed(bench, subject)

    def _replayed(self, bench: Bench, subject: str) -> Row:
        workload = self.workload(bench)
        trace = written(bench, self.name, workload.targets())
        # bounds are told in whole MiB to those that know no smaller unit
        room = Room(workload.bytes() // 10 // MIB * MIB, objects=workload.objects // 10)
        with keeping(bench, subject, room) as (process, port):
            before = bench.fetches()
            row = sample(bench, process, port, Replay(trace, self.connections, workload.requests), PATIENCE, LOOK)
            fetched = bench.fetches() - before
        return {**row, "hit": 100 * (1 - fetched / row["requests"])}


def targets(size: int, count: int) -> tuple[str, ...]:
    """So many objects of one size."""
    return tuple(f"/k{number}/{size}" for number in range(count))


def at_random(objects: Sequence[str], count: int) -> tuple[str, ...]:
    """So many of them, each as likely as any other; always the same."""
    return tuple(random.Random(count).choices(objects, k=count))


WHERE = f"{CONNECTIONS} kept connections, nothing reaches the origin."
HUNDRED, LARGE = targets(KIB, 100), targets(64 * KIB, 8_192)

CACHE_SCENARIOS: tuple[Scenario, ...] = (
    CacheHits("cache-hit-1k", "Cache: one object, 1 KiB", f"Hits, {WHERE}", Room(64 * MIB), HUNDRED[:1], HUNDRED[:1]),
    CacheHits(
        "cache-hit-1k-100",
        "Cache: 100 objects, 1 KiB",
        f"Hits, chosen at random; {WHERE}",
        Room(64 * MIB),
        HUNDRED,
        at_random(HUNDRED, 10_000),
    ),
    CacheHits(
        "cache-hit-64k",
        "Cache: one object, 64 KiB",
        f"Hits, {WHERE}",
        Room(64 * MIB),
        LARGE[:1],
        LARGE[:1],
    ),
    CacheHits(
        "cache-hit-disk",
        "Cache: hits from disk, 64 KiB",
        f"{len(LARGE):,} objects, together eight times what Reviver's memory is bounded to (64 MiB), asked for at "
        f"random; the kernel has all files in its page cache. Varnish with storage `file`. {WHERE}",
        Room(64 * MIB, 2048 * MIB),
        LARGE,
        at_random(LARGE, 50_000),
    ),
    CacheMiss(),
    CacheZipf(),
    CacheHerd(),
    CacheMemory(),
)
