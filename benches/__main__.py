"""The command line of the benchmark."""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shlex
import signal
import sys
import tempfile
from datetime import date
from pathlib import Path

from benches.balancing import BALANCE_SCENARIOS
from benches.bench import Bench, Outcome, Scenario, Settings, cores, run
from benches.caches import CACHES
from benches.caching import CACHE_SCENARIOS
from benches.chart import draw
from benches.fleets import FLEETS
from benches.machine import describe
from benches.peers import PEERS, Origin, Peer
from benches.processes import StartError
from benches.report import PeerFacts, Report, scenario_table
from benches.scenarios import SCENARIOS, Soak
from benches.toolbox import ROOT, Toolbox

FILES_WANTED = 65_536
NEEDED = ("loadgen", "wrk", "h2load", "nghttpd", "openssl")


def arguments() -> argparse.ArgumentParser:
    """The options."""
    defaults = Settings()
    scenarios = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(prog="python -m benches", description="Measures Reviver and its peers.")
    parser.add_argument("--rounds", type=int, default=None, help=f"rounds of each scenario ({defaults.rounds})")
    parser.add_argument("--seconds", type=float, default=None, help=f"seconds of each load ({defaults.seconds:g})")
    parser.add_argument("--scenario", action="append", choices=scenarios, help="only this one; may be repeated")
    parser.add_argument("--peer", action="append", metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="one short round of each: does everything work?")
    parser.add_argument("--soak", action="store_true", help="also a million requests, memory before and after")
    parser.add_argument("--soak-requests", type=int, default=defaults.soak_requests, metavar="N")
    parser.add_argument("--idle-connections", type=int, default=defaults.idle_connections, metavar="N")
    parser.add_argument("--port-base", type=int, default=defaults.port_base, help="the first of 110 loopback ports")
    parser.add_argument("--output", type=Path, help="folder of the report (docs; .bench where not all is measured)")
    return parser


def settings(options: argparse.Namespace) -> Settings:
    """Resolves the options' defaults."""
    defaults = Settings(rounds=1, seconds=1.0) if options.quick else Settings()
    return Settings(
        rounds=options.rounds or defaults.rounds,
        seconds=options.seconds or defaults.seconds,
        idle_connections=options.idle_connections,
        soak_requests=options.soak_requests,
        port_base=options.port_base,
        quick=options.quick,
    )


def chosen(options: argparse.Namespace) -> list[Scenario]:
    """The scenarios in the order of the report."""
    if options.scenario:
        return [scenario for scenario in SCENARIOS if scenario.name in options.scenario]
    return [scenario for scenario in SCENARIOS if options.soak or not isinstance(scenario, Soak)]


def available(toolbox: Toolbox, names: list[str] | None) -> dict[str, Peer]:
    """The peers whose programs are there, in the order of the tables."""
    wanted = {name.casefold() for name in names or []}
    unknown = wanted - {peer.name.casefold() for peer in PEERS}
    if unknown:
        known = ", ".join(peer.name for peer in PEERS)
        raise StartError(f"no such peer: {', '.join(sorted(unknown))} (known: {known})")
    return {
        peer.name: peer(toolbox)
        for peer in PEERS
        if peer.program in toolbox.programs and (not wanted or peer.name.casefold() in wanted)
    }


def raise_files() -> None:
    """Raises the number of open files as far as is allowed: peers inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, FILES_WANTED), max(hard, FILES_WANTED)))
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def say(text: str) -> None:
    """Tells progress on the standard error."""
    print(text, file=sys.stderr, flush=True)


def measure(options: argparse.Namespace) -> int:
    """Runs everything and writes the report; returns the exit code."""
    machine = describe()
    if machine.busy:
        say(f"WARNING: load average {machine.load_average:.1f}: other programs disturb the figures")
    proxy_core, load_core = cores()
    toolbox = Toolbox(ROOT / ".bench")
    toolbox.fill(say)
    if lacking := [name for name in NEEDED if name not in toolbox.programs]:
        raise StartError(f"nothing can be measured without {' and '.join(lacking)}")
    peers = available(toolbox, options.peer)
    # from here on: pip and cargo may use all cores, the harness only the load's
    os.sched_setaffinity(0, {load_core})
    raise_files()
    base = options.port_base
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="reviver-bench-") as name:
        folder = Path(name)
        # peers that give up root must get in
        folder.chmod(0o755)
        bench = Bench(
            settings(options), toolbox, peers, folder, proxy_core, load_core, Origin(*range(base, base + 5)), say
        )
        with bench.serving():
            for scenario in chosen(options):
                outcome = run(bench, scenario)
                if outcome.rows or outcome.failures:
                    outcomes[scenario.name] = outcome
                    print(f"\n{scenario.title}\n{scenario_table(outcome)}\n", flush=True)
    facts = [PeerFacts(peer.name, peer.version(), peer.settings) for peer in peers.values()]
    if any(scenario.name in outcomes for scenario in CACHE_SCENARIOS):
        facts += [
            PeerFacts(f"{kind.name}, cache" if not kind.plain else kind.name, peers[kind.peer].version(), kind.settings)
            for kind in CACHES
            if kind.peer in peers
        ]
    if any(scenario.name in outcomes for scenario in BALANCE_SCENARIOS):
        facts += [
            PeerFacts(f"{kind.peer}, balancing", peers[kind.peer].version(), kind.settings)
            for kind in FLEETS
            if kind.peer in peers
        ]
    command = shlex.join(["python", "-m", "benches", *sys.argv[1:]])
    report = Report(date.today(), command, machine, bench.settings, facts, toolbox.missing, outcomes)
    whole = not (options.quick or options.scenario or options.peer or toolbox.missing)
    output = options.output or (ROOT / "docs" if whole else ROOT / ".bench")
    output.mkdir(parents=True, exist_ok=True)
    (output / "benchmarks.svg").write_text(draw(outcomes.values()))
    (output / "benchmarks.md").write_text(report.markdown("benchmarks.svg"))
    say(f"wrote {output / 'benchmarks.md'}")
    return 1 if any(outcome.failures for outcome in outcomes.values()) else 0


def main() -> int:
    """Entry point: 0 when all was measured, 1 when something failed, 2 for wrong usage."""
    # a termination unwinds like an interrupt, so that everything started is ended
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        return measure(arguments().parse_args())
    except StartError as error:
        say(f"benches: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
