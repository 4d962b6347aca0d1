"""How `reviver pool` shows what the proxy says of its pools."""

from typing import Any

import click

from reviver.cli.output import SERVER_STATES, duration, percent, print_table

COLUMNS = ("server", "state", "weight", "in flight", "requests", "errors", "latency", "last check", "note")


def show_pools(pools: list[dict[str, Any]]) -> None:
    """A table for each."""
    for index, pool in enumerate(pools):
        if index:
            click.echo()
        click.echo(headline(pool))
        if pool["servers"]:
            print_table(COLUMNS, [_cells(server) for server in pool["servers"]], styles=SERVER_STATES)
        if pool["removed"]:
            click.echo(f"removed at run time: {', '.join(pool['removed'])}")
        if pool["failing"]:
            click.echo(f"discovery by {pool['from']} fails: {pool['failing']}")
    if not pools:
        click.echo("the configuration has no pools")


def headline(pool: dict[str, Any]) -> str:
    """A pool on one line."""
    servers = pool["servers"]
    taking = sum(server["state"] in ("up", "warming") for server in servers)
    found = "" if pool["from"] == "configuration" else f" (by {pool['from']})"
    parts = [f"{taking} of {len(servers)} server{'' if len(servers) == 1 else 's'} up{found}", pool["balance"]]
    if pool["panic"]:
        parts.append("too few are up: all are used")
    if pool["waiting"]:
        parts.append(f"{pool['waiting']} waiting for room")
    return f"pool {pool['name']}: {', '.join(parts)}"


def _cells(server: dict[str, Any]) -> list[Any]:
    requests, errors, latency = server["requests"], server["errors"], server["latency_ms"]
    bound = server["max_connections"]
    return [
        server["address"],
        server["state"],
        server["weight"],
        f"{server['in_flight']} / {bound}" if bound else server["in_flight"],
        requests,
        f"{errors} ({percent(errors / requests)})" if errors and requests else errors,
        None if latency is None else f"{latency:.1f} ms",
        _check(server),
        ", ".join(_notes(server)),
    ]


def _check(server: dict[str, Any]) -> str | None:
    ago = server["checked_ms_ago"]
    if ago is None:
        return None
    when = f"{ago} ms ago" if ago < 1000 else f"{duration(ago / 1000)} ago"
    return f"{server['check'] or 'good'}, {when}"


def _notes(server: dict[str, Any]) -> list[str]:
    notes = [name for name in ("backup", "added") if server.get(name)]
    if server["ejected_ms"] is not None:
        notes.append(f"back in {duration(server['ejected_ms'] / 1000)}")
    if server["ejections"]:
        notes.append(f"ejected {server['ejections']} time{'' if server['ejections'] == 1 else 's'}")
    return notes
