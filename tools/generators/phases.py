"""docs/phases.md, from the table of phases."""

from itertools import pairwise
from pathlib import Path

from tools.generators import rust_tables

__all__ = ["generate"]

_SOURCE = Path("crates/reviver-flow/src/phases.rs")
_FORM = r"""
    (?P<doc> (?: ///[^\n]*\n \s* )+ )
    (?P<variant> \w+ ) \s+ (?P<name> \w+ ) \s+ \( (?P<side> \w+ ) \) \s+ => \s+
    (?P<verdicts> \w+ (?: \s* \| \s* \w+ )* )
"""
_BRANCHES = ("tunnel_open", "failure")
"""Phases that not every flow comes through: they stand beside the line from the first phase to the last."""
_BEFORE_TUNNELS = ("upstream_select", "upstream_response")
"""CONNECT and SOCKS5 need a connection, Upgrade the answer 101."""

_HEAD = """\
# Phases

<!-- Generated from crates/reviver-flow/src/phases.rs by tools/generate.py: changes belong there. -->

A flow (one request and what becomes of it) goes through phases, in this order. Each looks at one side of the proxy and
ends with a verdict from its own closed set. `reviver explain` shows the phases of a request with verdict,
[reason](reasons.md) and the line of the configuration that decided. Every flow ends with exactly one `done`.

"""
_TAIL = """
A solid arrow is `continue`, a dotted one `retry`. From every phase that may `respond` or `reject` the flow goes to its
answer and then to `done`.

`explain` lists a phase where something was decided in it. Python hooks (one name for each phase) are not there yet;
they will come in at these places. How phases and code belong together is told in
[architecture.md](architecture.md#the-life-of-a-request); what `cache_lookup` finds, in
[cache.md](cache.md#why-something-was-not-a-hit).
"""


def generate(root: Path) -> tuple[Path, str]:
    """Path and text of docs/phases.md."""
    source = root / _SOURCE
    phases = rust_tables.rows(source, "phases", _FORM)
    meanings = rust_tables.variants(source, "VerdictKind")
    text = _HEAD + "| phase | side | verdicts | what has just become known |\n|---|---|---|---|\n"
    for phase in phases:
        verdicts = ", ".join(f"`{verdict.lower()}`" for verdict in _verdicts(phase))
        text += f"| `{phase['name']}` | {phase['side'].lower()} | {verdicts} | {_sentence(phase['doc'])} |\n"
    text += "\n| verdict | meaning |\n|---|---|\n"
    for verdict, meaning in meanings.items():
        text += f"| `{verdict.lower()}` | {meaning} |\n"
    return root / "docs" / "phases.md", f"{text}\n{_graph(phases)}{_TAIL}"


def _graph(phases: list[dict[str, str]]) -> str:
    names = [phase["name"] for phase in phases]
    line = [name for name in names if name not in _BRANCHES]
    arrows = [f"{one} --> {other}" for one, other in pairwise(line)]
    arrows += [f"{name} --> tunnel_open" for name in _BEFORE_TUNNELS]
    arrows += [f"{name} --> done" for name in _BRANCHES]
    arrows += [f"{phase['name']} -.-> upstream_select" for phase in phases if "Retry" in _verdicts(phase)]
    unknown = {end for arrow in arrows for end in arrow.split()[::2]} - set(names)
    if unknown:
        raise SystemExit(f"{_SOURCE}: there is no phase {', '.join(sorted(unknown))}")
    return "```mermaid\nflowchart LR\n" + "".join(f"    {arrow}\n" for arrow in arrows) + "```\n"


def _verdicts(phase: dict[str, str]) -> list[str]:
    return [verdict.strip() for verdict in phase["verdicts"].split("|")]


def _sentence(doc: str) -> str:
    return " ".join(line.strip().removeprefix("///").strip() for line in doc.strip().splitlines())
