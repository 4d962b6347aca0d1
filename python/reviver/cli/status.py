"""`reviver status`: how the running proxy fares."""

from pathlib import Path
from typing import Any

import click

from reviver.cli.options import find_socket, json_option, running_proxy_options
from reviver.cli.output import print_json, print_table


@click.command("status")
@running_proxy_options
@json_option
def command(config: Path | None, socket: Path | None, as_json: bool) -> int:
    """Show how the running proxy fares: listeners, routes, servers, counters and latencies.

    Exit code 1 when none is running.

    \b
    reviver status
    reviver status --json | jq .epoch
    """
    from reviver.control.client import ask

    status = ask(find_socket(config, socket), "status")
    if as_json:
        print_json(status)
    else:
        _show(status)
    return 0


def _show(status: dict[str, Any]) -> None:
    """One line for each plain value, one table for each list; what the engine adds later shows by itself."""
    tables = {name: rows for name, rows in status.items() if _is_table(rows)}
    for name, value in status.items():
        if name not in tables and value is not None and value != []:
            click.echo(f"{name}: {_text(value)}")
    for name, rows in tables.items():
        columns = list(dict.fromkeys(key for row in rows for key in row))
        click.echo()
        print_table(columns, [[_text(row.get(column)) for column in columns] for row in rows], title=name)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    return str(value)
