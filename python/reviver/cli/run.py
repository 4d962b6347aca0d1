"""`reviver run`: serve by a configuration file."""

from pathlib import Path

import click

from reviver.cli.options import FILE, configuration, load, workers_option


@click.command("run")
@click.argument("config", type=FILE, required=False)
@click.option("--watch", is_flag=True, help="Reload when the configuration, or a file that it names, changes.")
@workers_option
def command(config: Path | None, watch: bool, workers: int | None) -> int:
    """Serve by a configuration file.

    CONFIG is reviver.yaml, .yml, .toml or .json in the current folder by default. SIGHUP reloads it, SIGTERM and
    Ctrl-C let flows in flight finish, SIGUSR1 opens log files anew.

    \b
    reviver run
    reviver run /etc/reviver/reviver.yaml --watch
    """
    from reviver.control import paths
    from reviver.control.proxy import Source
    from reviver.control.serve import serve

    path = configuration(config)
    source = Source(str(path), paths.identity_of(path), lambda: load(path, workers=workers))
    return serve(source, watch=watch)
