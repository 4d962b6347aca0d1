"""`reviver reload`: read the configuration again."""

from pathlib import Path

import click

from reviver.cli.options import find_socket, json_option, running_proxy_options
from reviver.cli.output import diagnostics, note, print_json


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
    from reviver.errors import ConfigurationError, ReviverError

    try:
        done = ask(find_socket(config, socket), "reload")
    except ReviverError as error:
        found = error.diagnostics if isinstance(error, (ConfigurationError, RefusedError)) else ()
        if as_json:
            print_json({"ok": False, "error": str(error), "diagnostics": [item.as_dict() for item in found]})
        elif isinstance(error, RefusedError):
            diagnostics(found)
            note(f"not reloaded: {error}")
        else:
            raise
        return 2 if found else 1
    if as_json:
        print_json({"ok": True, **done})
        return 0
    for line in done["notes"]:
        note(line)
    click.echo(f"reloaded: epoch {done['epoch']}" if done["changed"] else f"nothing has changed: epoch {done['epoch']}")
    return 0
