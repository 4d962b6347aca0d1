"""How commands speak: colours only on a terminal, JSON for programs, tables that are never cut in a pipe."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from reviver.errors import Diagnostic


def paint(text: str, *, stream: TextIO, **style: Any) -> str:
    """Styles a text (click's names) where the stream is a terminal that wants colours."""
    import os

    if os.environ.get("NO_COLOR") or not stream.isatty():
        return text
    return click.style(text, **style)


def fail(message: str) -> None:
    """One line on stderr that says what went wrong."""
    line = " ".join(message.split())
    click.echo(f"{paint('error:', fg='red', bold=True, stream=sys.stderr)} {line}", err=True)


def note(message: str) -> None:
    """One line on stderr that is not an error."""
    click.echo(message, err=True)


def diagnostics(found: Iterable["Diagnostic"]) -> None:
    """One line each on stderr."""
    for diagnostic in found:
        colour = "yellow" if diagnostic.severity == "warning" else "red"
        place, separator, rest = str(diagnostic).partition(" ")
        click.echo(paint(place, fg=colour, stream=sys.stderr) + separator + rest, err=True)


def print_json(value: Any) -> None:
    """Indented JSON on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    title: str | None = None,
    styles: Mapping[str, str] | None = None,
) -> None:
    """An aligned table on stdout. A column without anything in it is left out. `styles` colours cells of that text."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    wanted = [index for index in range(len(columns)) if any(row[index] for row in texts)]
    table: Table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    for index in wanted:
        table.add_column(columns[index], overflow="fold")
    for row in texts:
        table.add_row(*[Text(row[index], style=_style(row[index], styles or {})) for index in wanted])
    console = Console(highlight=False)
    if not console.is_terminal:
        # Programs and files get whole lines.
        console = Console(highlight=False, width=10_000)
    with console.capture() as captured:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), color=console.is_terminal or None)


def size(count: float) -> str:
    """Bytes with a unit that keeps the number short."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def duration(seconds: float) -> str:
    """The two largest units."""
    if seconds <= -1:
        return f"-{duration(-seconds)}"
    left = int(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def percent(share: float | None) -> str:
    """A share of one; a dash where there is nothing to have a share of."""
    return "-" if share is None else f"{share * 100:.1f} %"


def cache_line(stats: dict[str, Any]) -> str:
    """How the cache fares, on one line."""
    tiers = [(stats[name], where) for name, where in (("memory", "in memory"), ("disk", "on disk")) if stats.get(name)]
    parts = [
        f"{tier['objects']} object{'' if tier['objects'] == 1 else 's'} {where} "
        f"({size(tier['bytes'])} of {size(tier['limit'])})"
        for tier, where in tiers
    ]
    return ", ".join([*parts, f"hit ratio {percent(stats.get('hit_ratio'))}"])


DISK_STATES = {"full": "bold yellow", "read-only": "bold yellow", "failed": "bold red"}
"""Colours of what a cache's disk may be beside ok."""
SERVER_STATES = {"up": "green", "down": "bold red", "ejected": "red", "draining": "yellow", "warming": "cyan"}
"""Colours of what a server may be."""


def _style(cell: str, more: Mapping[str, str]) -> str:
    return {"ok": "green", "FAILED": "bold red", "reject": "red", "respond": "yellow", **DISK_STATES, **more}.get(
        cell, ""
    )
