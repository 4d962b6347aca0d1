"""How `reviver canary` shows what the proxy says of its splits."""

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from reviver.canary import words
from reviver.cli.output import duration, paint, print_table

ALPHA = 0.05
"""One minus the confidence of intervals where no autopilot says another one."""
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
CELLS = 10
"""Characters of a bar of evidence."""
SHOWN = 5
"""Judgements."""

STATES = {
    "walking": ("walks", "cyan"),
    "waiting": ("waits for evidence", "cyan"),
    "gate": ("is at a gate", "yellow"),
    "paused": ("is paused", "yellow"),
    "promoted": ("is done", "green"),
    "aborted": ("has rolled back", "red"),
    "dry": ("judges only (dry run)", "magenta"),
}
"""What an autopilot does, and its colour."""
VERDICTS = {"safe": "green", "promoted": "green", "harm": "bold red", "aborted": "bold red", "undecided": "yellow"}
"""Colours; the others have none."""
STEPS = {"done": ("✔", "green"), "current": ("▶", "bold cyan"), "to come": ("·", "dim")}


def show_splits(splits: list[dict[str, Any]]) -> None:
    """One after the other."""
    for index, split in enumerate(splits):
        if index:
            click.echo()
        click.echo(headline(split))
        pilot = split["autopilot"]
        if pilot is not None:
            _show_autopilot(pilot)
        click.echo()
        _show_variants(split)
    if not splits:
        click.echo("the configuration has no splits")


def headline(split: dict[str, Any]) -> str:
    """A split on one line."""
    weights = ", ".join(f"{item['name']} {words.weight(item['weight'])}" for item in split["variants"])
    pilot = split["autopilot"]
    return f"split {split['name']}: {weights}" + ("" if pilot is None else f"; the autopilot {_doing(pilot)}")


def _doing(pilot: Mapping[str, Any]) -> str:
    return STATES.get(pilot["state"], (str(pilot["state"]), ""))[0]


# ---- variants, since the start


def _show_variants(split: Mapping[str, Any]) -> None:
    from reviver.canary import intervals

    variants = split["variants"]
    intervals_there = split["autopilot"] is None

    def rate(item: Mapping[str, Any]) -> str:
        if not item["requests"]:
            return "-"
        value = words.percent(item["errors"] / item["requests"])
        if not intervals_there:
            return value
        low, high = intervals.rate(item["requests"], item["errors"], ALPHA)
        return f"{value} {_between(words.percent(low), words.percent(high))}"

    def quantile(at: float) -> Callable[[Mapping[str, Any]], str]:
        def cell(item: Mapping[str, Any]) -> str:
            found = intervals.quantile(item["latency"], at, ALPHA)
            if found is None:
                return "-"
            value, low, high = found
            if not intervals_there:
                return words.milliseconds(value)
            above = "?" if high is None else words.milliseconds(high)
            return f"{words.milliseconds(value)} {_between(words.milliseconds(low), above)}"

        return cell

    rows: dict[str, Callable[[Mapping[str, Any]], Any]] = {
        "pool": lambda item: item["pool"],
        "weight": lambda item: words.weight(item["weight"]),
        "written": lambda item: words.weight(item["written"]),
        "requests": lambda item: item["requests"],
        "errors": lambda item: item["errors"],
        "error rate": rate,
        **{name: quantile(at) for name, at in QUANTILES.items()},
    }
    table = [[name, *(cell(item) for item in variants)] for name, cell in rows.items()]
    print_table(("since the start", *(item["name"] for item in variants)), table)


# ---- the autopilot


def _show_autopilot(pilot: Mapping[str, Any]) -> None:
    click.echo(_steps(pilot["steps"]))
    click.echo(_since(pilot))
    click.echo()
    sides = ("canary", "baseline")
    rows: list[list[Any]] = [["requests", *(pilot["requests"][side] for side in sides)]]
    for name, share in pilot["shares"].items():
        rows.append([_title(name), *(_interval(share[side], words.percent) for side in sides)])
    for name, latency in pilot["latency"].items():
        rows.append([name, *(_interval(latency[side], lambda ms: words.milliseconds(1000 * ms)) for side in sides)])
    confidence = words.percent(pilot["confidence"])
    print_table((f"this step, {confidence}", "canary", "stable's share"), rows)
    _show_evidence(pilot["metrics"])
    gate = pilot["gate"]
    if gate is not None:
        click.echo(f"\n{_gate(gate)}")
    verdict = pilot["verdict"]
    colour = VERDICTS.get(verdict["kind"])
    said = f"verdict: {verdict['text']}"
    click.echo("\n" + (said if colour is None else _painted(said, colour)))
    _show_judgements(pilot["judgements"][-SHOWN:])


def _steps(steps: Sequence[Mapping[str, Any]]) -> str:
    """`✔ 1 %  ▶ 5 %  · 25 %`."""
    parts = []
    for step in steps:
        sign, colour = STEPS[step["state"]]
        took = "" if step["seconds"] is None or step["state"] != "done" else f" ({duration(step['seconds'])})"
        parts.append(_painted(f"{sign} {words.weight(step['weight'])}{took}", colour))
    return "steps: " + "  ".join(parts)


def _since(pilot: Mapping[str, Any]) -> str:
    """Since when, and what the step waits for."""
    said, colour = STATES.get(pilot["state"], (pilot["state"], ""))
    text = "autopilot " + _painted(said, colour)
    if pilot["would"] is not None:
        would, _ = STATES.get(pilot["would"], (pilot["would"], ""))
        text += f"; without that it {would} at {words.weight(pilot['weight'])}"
    if pilot["seconds"] is not None:
        text += f", for {duration(pilot['seconds'])} at this step"
    return f"{text}; a step takes {duration(pilot['every'])} and {pilot['min_requests']} requests of each side at least"


def _show_evidence(metrics: Sequence[Mapping[str, Any]]) -> None:
    if not metrics:
        return
    rows = []
    for metric in metrics:
        margin = f"+{words.percent(metric['margin'])}" + ("" if metric["relative"] else " points")
        rows.append([_title(metric["name"]), margin, _bar(metric["safe"]), _bar(metric["harm"])])
    click.echo()
    print_table(("judged", "may be", "evidence that it is less", "evidence of harm"), rows)


def _show_judgements(judgements: Sequence[Mapping[str, Any]]) -> None:
    if not judgements:
        return
    click.echo()
    rows = [
        [
            datetime.fromtimestamp(item["at"]).astimezone().strftime("%H:%M:%S"),
            words.weight(item["weight"]),
            item["verdict"].replace("_", " "),
            item["text"],
        ]
        for item in judgements
    ]
    print_table(("last judgements", "at", "verdict", ""), rows, styles=VERDICTS)


def _gate(gate: Mapping[str, Any]) -> str:
    text = f"gate {gate['kind']} {words.weight(gate['weight'])}"
    if gate["refused"] is None:
        return f"{text} is being asked"
    again = "" if gate["again_in"] is None else f"; asked again in {duration(gate['again_in'])}"
    return f"{text} did not pass: {gate['refused']}{again}"


def _interval(cell: Mapping[str, Any], show: Callable[[float], str]) -> str:
    """`0.5 % [0.2 %, 1.1 %]`; a dash without requests."""
    if cell["value"] is None:
        return "-"
    high = "?" if cell["high"] is None else show(cell["high"])
    return f"{show(cell['value'])} {_between(show(cell['low']), high)}"


def _between(low: str, high: str) -> str:
    return f"[{low}, {high}]"


def _title(name: str) -> str:
    return name.replace("_", " ")


def _bar(share: float) -> str:
    full = round(min(max(share, 0.0), 1.0) * CELLS)
    return "█" * full + "░" * (CELLS - full)


def _painted(text: str, colour: str) -> str:
    """By the words of `rich`, so that lines and tables have the same colours."""
    *bold, name = colour.split() or [""]
    if name == "dim":
        return paint(text, stream=sys.stdout, dim=True)
    return paint(text, stream=sys.stdout, fg=name or None, bold=bool(bold) or None)
