"""`reviver certificates`: what certificates there are, when they end, and how to have them trusted."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reviver.cli.options import configuration, find_socket, json_option, load, running_proxy_options
from reviver.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from reviver.certificates.manager import Manager


@click.group("certificates", invoke_without_command=True)
@running_proxy_options
@json_option
@click.pass_context
def command(context: click.Context, config: Path | None, socket: Path | None, as_json: bool) -> int | None:
    """Show every certificate of the configuration: names, issuer, end, source and state.

    The running proxy is asked; where none runs, files and storage are read.

    \b
    reviver certificates
    reviver certificates --json | jq '.certificates[] | select(.days_left < 14)'
    reviver certificates renew www.example.com
    reviver certificates trust
    """
    # a subcommand's own options come first
    context.obj = (config, socket)
    if context.invoked_subcommand is not None:
        return None
    rows = _rows(config, socket)
    if as_json:
        print_json({"certificates": rows})
    elif rows:
        _show(rows)
    else:
        click.echo("the configuration has no certificates")
    return 0


@command.command("renew")
@click.argument("name", required=False)
@running_proxy_options
@json_option
@click.pass_obj
def renew(
    outer: tuple[Path | None, Path | None], name: str | None, config: Path | None, socket: Path | None, as_json: bool
) -> int:
    """Have the running proxy obtain automatic certificates anew, now.

    All of them, or that of NAME: a listener or a host. Exit code 1 when one could not be had; the old one stays.

    \b
    reviver certificates renew
    reviver certificates renew www.example.com
    """
    from reviver.control.client import ask

    done = ask(find_socket(config or outer[0], socket or outer[1]), "renew", name=name, on_progress=_waiting())
    if as_json:
        print_json(done)
    else:
        for line in done["renewed"]:
            click.echo(line)
    return 0


@command.command("trust")
@running_proxy_options
@json_option
@click.pass_obj
def trust(outer: tuple[Path | None, Path | None], config: Path | None, socket: Path | None, as_json: bool) -> int:
    """Print how to trust the local authority of `internal: true`.

    The path of its certificate comes first, then what to do on each system and in programs with lists of their own.

    Exit code 1 when there is none yet: a proxy makes it when it starts with such a listener.

    \b
    reviver certificates trust
    curl --cacert "$(reviver certificates trust --json | jq -r .certificate)" https://localhost:8443/
    """
    from reviver.certificates.trust import instructions
    from reviver.errors import OperationError

    path = _authority(config or outer[0], socket or outer[1])
    if path is None:
        raise OperationError(
            f"there is no local authority in {_manager().folder} yet; start a proxy that has a listener "
            "with tls: {internal: true}"
        )
    ways = instructions(path)
    if as_json:
        print_json({"certificate": str(path), "instructions": [way._asdict() for way in ways]})
        return 0
    click.echo(f"The local authority's certificate is {path}\n")
    for way in ways:
        click.echo(f"{way.system}" + (f" ({way.note})" if way.note and way.commands else ""))
        for line in way.commands or (way.note or "",):
            click.echo(f"  {line}")
    click.echo("\nWhoever has its key, in the same folder, can pretend to be any host for those who trust it.")
    return 0


def _rows(config: Path | None, socket: Path | None) -> list[dict[str, Any]]:
    """From the running proxy, else from the configuration and the storage."""
    running = _ask_running(config, socket)
    if running is not None:
        return running
    from datetime import UTC, datetime

    from reviver.certificates.rows import rows
    from reviver.control.compiled import compile_loaded

    loaded = load(configuration(config))
    prepared = _manager().prepare(loaded, make=False)
    return rows(compile_loaded(loaded, prepared.material).plan, prepared, datetime.now(UTC))


def _ask_running(config: Path | None, socket: Path | None) -> list[dict[str, Any]] | None:
    """The running proxy's rows, or None where none runs; one that is named by --socket has to."""
    from reviver.control.client import NotRunningError, ask

    try:
        rows: list[dict[str, Any]] = ask(find_socket(config, socket), "certificates")["certificates"]
    except NotRunningError:
        if socket is not None:
            raise
        return None
    return rows


def _authority(config: Path | None, socket: Path | None) -> Path | None:
    """The certificate of the local authority: the running proxy's, else that of this user's storage."""
    from reviver.certificates import authority
    from reviver.certificates.storage import Storage
    from reviver.errors import ReviverError

    try:
        running = _ask_running(config, socket)
    except ReviverError:
        if config is not None or socket is not None:
            raise
        running = None
    for row in running or ():
        if row["source"] == "internal" and row["file"]:
            return Path(row["file"])
    storage = Storage(_manager().folder)
    return authority.path(storage) if authority.load(storage) is not None else None


def _manager() -> "Manager":
    from reviver.certificates.manager import Manager

    return Manager(note)


def _waiting() -> "Callable[[dict[str, Any]], None]":
    said = False

    def waiting(_: dict[str, Any]) -> None:
        nonlocal said
        if not said:
            note("waiting for the authority")
            said = True

    return waiting


def _show(rows: list[dict[str, Any]]) -> None:
    columns = ("for", "names", "issuer", "key", "not after", "days left", "source", "state", "next")
    print_table(columns, [_cells(row) for row in rows])
    for row in rows:
        if row["error"]:
            click.echo(f"\n{_names(row)}: {row['error']}")


def _cells(row: dict[str, Any]) -> list[Any]:
    following = f"attempt {row['next_attempt']}" if row["next_attempt"] else None
    if following is None and row["next_renewal"]:
        following = f"renewal {row['next_renewal'][:10]}"
    return [
        row["listener"] or f"pool {row['pool']}",
        _names(row),
        row["issuer"],
        row["key"],
        row["not_after"] and row["not_after"][:10],
        row["days_left"],
        row["source"],
        row["state"],
        following,
    ]


def _names(row: dict[str, Any]) -> str:
    more = len(row["names"]) - 3
    return ", ".join(row["names"][:3]) + (f" and {more} more" if more > 0 else "")
