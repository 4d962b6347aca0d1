"""`reviver reload`: read the configuration again."""

from pathlib import Path

import click

from reviver.cli.options import find_socket, json_option, running_proxy_options
from reviver.cli.output import note, print_json


@click.command("reload")
@running_proxy_options
@json_option
def command(config: Path | None, socket: Path | None, as_json: bool) -> int:
    """Make the running proxy read its configuration again.

    No connection is dropped. A configuration with errors changes nothing: each error is printed, exit code 2.

    \b
    reviver reload
    reviver reload --config /etc/reviver/reviver.yaml
    """
    from reviver.control.client import RefusedError, ask

    try:
        done = ask(find_socket(config, socket), "reload")
    except RefusedError as error:
        if as_json:
            print_json({"ok": False, "error": str(error), "diagnostics": error.diagnostics})
        else:
            for line in error.diagnostics:
                note(line)
            note(f"not reloaded: {error}")
        return 2 if error.diagnostics else 1
    if as_json:
        print_json({"ok": True, **done})
        return 0
    for line in done["notes"]:
        note(line)
    click.echo(f"reloaded: epoch {done['epoch']}" if done["changed"] else f"nothing has changed: epoch {done['epoch']}")
    return 0
