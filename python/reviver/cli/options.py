"""What several commands share: naming a configuration, and finding the proxy that runs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from reviver.config import Loaded
    from reviver.control.protocol import Command

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)


def _header(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> list[tuple[str, str]]:
    headers = []
    for value in values:
        name, colon, text = value.partition(":")
        if not colon or not name or name != name.strip():
            raise click.BadParameter(f"{value!r} is not 'Name: value'")
        headers.append((name, text.strip()))
    return headers


header_option = click.option(
    "-H", "--header", "headers", multiple=True, callback=_header, metavar="'NAME: VALUE'", help="A field."
)

json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")


def configuration(path: Path | None) -> Path:
    """The file that was named, or the default one of the current folder. Raises ConfigurationError."""
    if path is not None:
        return path
    from reviver.config import find_default

    return find_default(Path())


def load(path: Path, *, workers: int | None = None) -> "Loaded":
    """Loads a configuration, with the number of workers that the command line asks for. Raises ConfigurationError."""
    from reviver.config import load_file

    return with_workers(load_file(path), workers)


def with_workers(loaded: "Loaded", workers: int | None) -> "Loaded":
    """The same configuration with another number of workers, or itself for None."""
    if workers is None:
        return loaded
    return replace(loaded, config=loaded.config.model_copy(update={"workers": workers}))


def workers_option(function: F) -> F:
    """Adds `--workers`."""
    return click.option(
        "--workers", type=click.IntRange(1, 256), metavar="N", help="Threads; the configuration's by default."
    )(function)


def running_proxy_options(function: F) -> F:
    """Adds `--config` and `--socket`."""
    by_file = click.option(
        "--config", type=FILE, metavar="FILE", help="The configuration that the proxy runs (default: as for run)."
    )
    by_socket = click.option("--socket", type=FILE, metavar="PATH", help="Its control socket, where that is known.")
    return by_socket(by_file(function))


def find_socket(config: Path | None, socket: Path | None) -> Path:
    """The control socket of the proxy that is meant.

    By `--socket`; else by the configuration's path; else by its key `control`, whatever state the rest is in; else,
    where the folder has no configuration, the only proxy of this user that has a default socket. Sockets that dead
    proxies left behind do not count. Raises ConfigurationError or OperationError (NotRunningError where none runs).
    """
    if socket is not None:
        return socket
    from reviver.config import control_socket
    from reviver.control import paths
    from reviver.control.client import NotRunningError, may_be_alive
    from reviver.errors import ConfigurationError, OperationError

    try:
        path = configuration(config)
    except ConfigurationError as error:
        found = [path for path in paths.find_all() if may_be_alive(path)]
        if len(found) == 1:
            return found[0]
        if found:
            raise OperationError(
                f"several proxies may be running; name one by --config or --socket: {', '.join(map(str, found))}"
            ) from error
        raise NotRunningError("no configuration here and no running proxy; name one by --config or --socket") from error
    for found_path in paths.find(paths.identity_of(path)):
        if may_be_alive(found_path):
            return found_path
    configured = control_socket(path)
    if configured is None:
        raise NotRunningError(f"no proxy is running with {path}")
    return configured


def ask_running(
    command: "Command", config: Path | None, socket: Path | None, as_json: bool, **request: Any
) -> dict[str, Any]:
    """The answer of the proxy that is meant, which is printed already where JSON is wanted.

    `request` is what `reviver.control.client.ask` takes. Raises what that and `find_socket` raise.
    """
    from reviver.cli.output import print_json
    from reviver.control.client import ask

    answer: dict[str, Any] = ask(find_socket(config, socket), command, **request)
    if as_json:
        print_json(answer)
    return answer


def serve_generated(command: str, listen: str, tree: dict[str, Any], *, workers: int | None) -> int:
    """Serves by a configuration that the command line stands for; returns the exit code.

    Raises ConfigurationError or OperationError.
    """
    from reviver.config import load_mapping
    from reviver.control.proxy import Source
    from reviver.control.serve import serve

    name = "command line"
    source = Source(name, f"{command} {listen}", lambda: with_workers(load_mapping(tree, name), workers))
    return serve(source)
