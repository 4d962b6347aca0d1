"""What all scenarios need: settings, cores, programs, peers, the origin, and the loop over rounds."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benches.loads import Load, MeasureError, Requests, Result, parse
from benches.peers import Launch, Mode, Origin, Peer
from benches.processes import START_SECONDS, Managed, StartError, pinned
from benches.toolbox import Toolbox

Row = Mapping[str, float]
Measure = Callable[[], Row]
# after a load, until a proxy has given back what it is going to give back
SETTLE_SECONDS = 3.0
# how much longer than asked a load may take before it counts as hanging
GRACE_SECONDS = 60.0


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    rounds: int = 5
    seconds: float = 4.0
    warmup: float = 1.0
    idle_connections: int = 10_000
    soak_requests: int = 1_000_000
    port_base: int = 18_100
    quick: bool = False


@dataclass(frozen=True)
class Metric:
    """One column: key of a row, heading, decimals."""

    key: str
    heading: str
    decimals: int = 1


class Scenario(ABC):
    """One table of the report. `main` is the metric that counts; less of it is better."""

    name: str
    title: str
    about: str
    metrics: tuple[Metric, ...]
    main: str
    # memory differs little between rounds and takes long to measure
    most_rounds: int = sys.maxsize

    @abstractmethod
    def subjects(self, bench: Bench) -> list[str]:
        """Who is measured, in the order of the table."""

    def around(self, bench: Bench) -> contextlib.AbstractContextManager[None]:
        """What all its subjects need beside the origins. Raises StartError."""
        return contextlib.nullcontext()

    @abstractmethod
    def session(self, bench: Bench, subject: str) -> contextlib.AbstractContextManager[Measure]:
        """Prepares one subject; the function measures it once. Raises StartError or MeasureError."""


@dataclass
class Outcome:
    """What a scenario found: the rows of each subject, one for each round, and why others have none."""

    scenario: Scenario
    rows: dict[str, list[Row]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def values(self, subject: str, key: str) -> list[float]:
        """One metric of one subject, one value for each round; none where it does not apply."""
        return [row[key] for row in self.rows.get(subject, []) if key in row]

    def median(self, subject: str, key: str | None = None) -> float | None:
        """The median over the rounds; the main metric unless told; None where there is no measurement."""
        values = self.values(subject, key or self.scenario.main)
        return statistics.median(values) if values else None


@dataclass
class Bench:
    """One run of the benchmark."""

    settings: Settings
    toolbox: Toolbox
    peers: dict[str, Peer]
    folder: Path
    proxy_core: int
    load_core: int
    origin: Origin
    say: Callable[[str], None]

    def port(self, name: str) -> int:
        """The first of ten ports that belong to a peer."""
        return self.settings.port_base + 10 * (1 + list(self.peers).index(name))

    @contextlib.contextmanager
    def running(self, name: str) -> Iterator[tuple[Managed, Launch]]:
        """A freshly started peer on the proxy's core."""
        with self.started(self.peers[name].prepare, self.port(name)) as started:
            yield started

    @contextlib.contextmanager
    def started(self, prepare: Callable[[Path, int, Origin], Launch], port: int) -> Iterator[tuple[Managed, Launch]]:
        """What `prepare` makes of an empty folder and a first port, on the proxy's core."""
        folder = self.folder / f"{port}"
        # what an earlier one has left there is not to be found
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        launch = prepare(folder, port, self.origin)
        log = self.folder / f"{port}.log"
        with Managed(
            launch.argv,
            core=self.proxy_core,
            log=log,
            ports=sorted(set(launch.ports.values())),
            environment=launch.environment,
            folder=folder,
        ) as process:
            for mode, where in launch.ports.items():
                if mode is not Mode.TUNNEL:
                    self._wait_until_served(where, mode)
            yield process, launch

    def _wait_until_served(self, port: int, mode: Mode) -> None:
        """A peer may accept before it knows its routes."""
        target, host = Requests(mode, 1024, 1).target(self.origin)
        until = time.monotonic() + START_SECONDS
        answer = "nothing"
        while time.monotonic() < until:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as client:
                try:
                    client.sock = connected(port, host if mode in (Mode.TLS, Mode.H2) else None)
                    client.request("GET", target, headers={"Host": host})
                    response = client.getresponse()
                    body = response.read()
                except (OSError, http.client.HTTPException) as error:
                    raise StartError(f"it does not answer: {error}") from error
            if response.status == 200 and len(body) == 1024:
                return
            answer = f"{response.status} with {len(body)} bytes"
            time.sleep(0.05)
        raise StartError(f"it answers {answer}, where the origin answers 200 with 1024 bytes")

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """The origins on the load's core: loadgen's two for HTTP/1.1, nghttpd, which knows nothing else, for HTTP/2."""
        ports = (self.origin.http, self.origin.bulk, self.origin.echo)
        loadgen = str(self.toolbox.programs["loadgen"])
        argv = [loadgen, "origin", *(f"127.0.0.1:{port}" for port in ports)]
        cacheable = [loadgen, "cacheable", f"127.0.0.1:{self.origin.cacheable}"]
        files = self.folder / "files"
        files.mkdir()
        (files / "1024").write_bytes(b"x" * 1024)
        h2 = [str(self.toolbox.programs["nghttpd"]), "--no-tls", "-a", "127.0.0.1", "-d", str(files)]
        h2 += [str(self.origin.h2)]
        with (
            Managed(argv, core=self.load_core, log=self.folder / "origin.log", ports=ports),
            Managed(h2, core=self.load_core, log=self.folder / "origin-h2.log", ports=[self.origin.h2]),
            Managed(
                cacheable, core=self.load_core, log=self.folder / "origin-cacheable.log", ports=[self.origin.cacheable]
            ),
        ):
            yield

    def fetches(self, port: int | None = None) -> int:
        """How many requests have reached the origin that counts them so far: that of the caches unless told."""
        port = self.origin.cacheable if port is None else port
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as client:
            client.request("GET", "/count")
            return int(client.getresponse().read())

    def put(
        self,
        load: Load,
        port: int,
        seconds: float,
        halfway: Callable[[], None] | None = None,
        after: float | None = None,
    ) -> Result:
        """Puts a load on the proxy at that port; as `drive`."""
        argv = load.command(self.toolbox, port, self.origin, seconds)
        return self.drive(argv, seconds, halfway, lambda output: load.read(self.toolbox, output), after)

    def drive(
        self,
        argv: list[str],
        seconds: float,
        halfway: Callable[[], None] | None = None,
        read: Callable[[str], Result] = parse,
        after: float | None = None,
    ) -> Result:
        """Runs a load of at most so many seconds on the load's core; calls `halfway` in the middle of it, or after as
        many seconds as are told where the load may end much earlier.

        Raises MeasureError when it fails, hangs, or no request succeeds.
        """
        with subprocess.Popen(
            pinned(self.load_core, argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                if halfway is not None:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(seconds / 2 if after is None else after)
                    halfway()
                output, _ = process.communicate(timeout=seconds + GRACE_SECONDS)
            except subprocess.TimeoutExpired as error:
                raise MeasureError("the load hangs") from error
            finally:
                process.kill()
        result = read(output)
        if result.requests == 0:
            raise MeasureError(f"no request succeeded: {result.first_error or output.strip()[-200:]}")
        return result

    def warm(self, port: int, mode: Mode) -> None:
        """One short load before anything is measured."""
        self.put(Requests(mode, 1024, 64), port, self.settings.warmup)


def run(bench: Bench, scenario: Scenario) -> Outcome:
    """Measures all subjects of a scenario, one after the other in each round."""
    outcome = Outcome(scenario)
    with contextlib.ExitStack() as stack:
        measures: dict[str, Measure] = {}
        subjects = scenario.subjects(bench)
        try:
            stack.enter_context(scenario.around(bench) if subjects else contextlib.nullcontext())
        except StartError as error:
            for subject in subjects:
                fail(bench, outcome, subject, error)
            return outcome
        for subject in subjects:
            try:
                measures[subject] = stack.enter_context(scenario.session(bench, subject))
            except (StartError, MeasureError) as error:
                fail(bench, outcome, subject, error)
        rounds = min(bench.settings.rounds, scenario.most_rounds)
        for number in range(1, rounds + 1):
            for subject, measure in list(measures.items()):
                try:
                    row = measure()
                except (StartError, MeasureError) as error:
                    fail(bench, outcome, subject, error)
                    del measures[subject]
                    continue
                outcome.rows.setdefault(subject, []).append(row)
                figures = ", ".join(
                    f"{metric.heading} {row[metric.key]:.{metric.decimals}f}"
                    for metric in scenario.metrics
                    if metric.key in row
                )
                bench.say(f"{scenario.name} {number}/{rounds} {subject}: {figures}")
    return outcome


def fail(bench: Bench, outcome: Outcome, subject: str, error: Exception) -> None:
    """Remembers and tells that a subject could not be measured."""
    outcome.failures[subject] = str(error)
    bench.say(f"FAILED {outcome.scenario.name} {subject}: {error}")


def connected(port: int, tls_name: str | None) -> socket.socket:
    """A connection to that port of loopback; with TLS for that name, whose certificate is taken on trust."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS)
    if tls_name is None:
        return plain
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(plain, server_hostname=tls_name)


def cores() -> tuple[int, int]:
    """The core for the proxy and the one for origin and load; raises StartError on a machine with one core."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        raise StartError("the benchmark needs two cores: one for the proxy, one for origin and load")
    return available[0], available[1]
