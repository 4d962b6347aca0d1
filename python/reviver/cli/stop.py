"""`reviver stop`: end the running proxy."""

import sys
from pathlib import Path
from typing import Any

import click

from reviver.cli.options import find_socket, json_option, running_proxy_options
from reviver.cli.output import print_json


@click.command("stop")
@running_proxy_options
@json_option
def command(config: Path | None, socket: Path | None, as_json: bool) -> int:
    """End the running proxy; flows in flight finish.

    New connections are refused at once. Returns when the proxy is down, and says whether connections had to be cut
    off because they outlived timeout.drain.

    \b
    reviver stop
    """
    from reviver.control.client import ask

    done = ask(find_socket(config, socket), "stop", on_progress=_show, until_down=True)
    if as_json:
        print_json({"ok": True, **done})
    else:
        click.echo("stopped" if done["complete"] else "stopped; some connections were cut off")
    return 0


def _show(progress: dict[str, Any]) -> None:
    """Long work shows progress, where a person looks on."""
    if sys.stderr.isatty():
        left = progress.get("connections")
        count = "" if left is None else f", {left} connection{'' if left == 1 else 's'} left"
        click.echo(f"draining for {progress['seconds']:.0f} s{count}", err=True)
