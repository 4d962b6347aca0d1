"""`reviver pool`: the servers of pools, and which of them get requests."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reviver.cli.options import ask_running, json_option, running_proxy_options
from reviver.cli.output import note

if TYPE_CHECKING:
    pass


@click.group("pool")
def command() -> None:
    """Show the servers of pools; drain, restore, add and remove them while the proxy runs.

    Nothing is reloaded and no request is cut off. What is changed here holds over reloads and restarts, until the
    configuration says the same.

    \b
    reviver pool status
    reviver pool drain api 127.0.0.1:9001
    reviver pool add api 127.0.0.1:9003 --weight 2
    """


@command.command("status", short_help="How the servers fare.")
@click.argument("pool", required=False)
@running_proxy_options
@json_option
def status(pool: str | None, config: Path | None, socket: Path | None, as_json: bool) -> int:
    """Show the servers of every pool, or of POOL: state, weight, load, errors, latency and the last health check.

    States: up; down, by health checks; ejected, by what its own answers showed; draining, by `pool drain`; warming,
    while the share of one that came back grows. Requests and errors are since the proxy started.

    \b
    reviver pool status
    reviver pool status api --json | jq '.pools[].servers[] | select(.state != "up")'
    """
    answer = ask_running("pool.status", config, socket, as_json, request={"pool": pool})
    if not as_json:
        from reviver.cli.pool_shown import show_pools

        show_pools(answer["pools"])
    return 0


@command.command("drain", short_help="Give a server no new requests.")
@click.argument("pool")
@click.argument("server")
@running_proxy_options
@json_option
def drain(pool: str, server: str, config: Path | None, socket: Path | None, as_json: bool) -> int:
    """Give SERVER of POOL no new requests; those that it has go on.

    Clients that a cookie binds to it still reach it. It holds over reloads and restarts, until `pool restore`.

    \b
    reviver pool drain api 127.0.0.1:9001
    reviver pool status api                 until nothing is in flight
    """
    done = ask_running("pool.drain", config, socket, as_json, request={"pool": pool, "server": server})
    if not as_json:
        click.echo(f"pool {done['pool']}: {done['server']} drains")
        if not done["left"]:
            note(f"no other server of pool {done['pool']} takes requests")
    return 0


@command.command("restore", short_help="Give a drained server requests again.")
@click.argument("pool")
@click.argument("server")
@running_proxy_options
@json_option
def restore(pool: str, server: str, config: Path | None, socket: Path | None, as_json: bool) -> int:
    """Give SERVER of POOL, which was drained, requests again.

    \b
    reviver pool restore api 127.0.0.1:9001
    """
    done = ask_running("pool.restore", config, socket, as_json, request={"pool": pool, "server": server})
    if not as_json:
        click.echo(f"pool {done['pool']}: {done['server']} is {done['state']}")
    return 0


@command.command("add", short_help="Give a pool one more server.")
@click.argument("pool")
@click.argument("server")
@click.option(
    "--weight",
    type=click.IntRange(0, 1000),
    metavar="N",
    help="Its share of the requests in relation to the others; 1 by default, 0 takes none.",
)
@click.option("--backup", is_flag=True, help="Use it only when no other server is left.")
@click.option(
    "--max-connections",
    type=click.IntRange(0, 10_000_000),
    metavar="N",
    help="Requests and tunnels at the same time; 0, the default, is no bound.",
)
@running_proxy_options
@json_option
def add(
    pool: str,
    server: str,
    weight: int | None,
    backup: bool,
    max_connections: int | None,
    config: Path | None,
    socket: Path | None,
    as_json: bool,
) -> int:
    """Give POOL one more server: SERVER is HOST:PORT, as in the configuration.

    The pool's health checks, TLS and all else hold for it too. One of the configuration that was removed comes back as
    it is written there. The added server stays over reloads and restarts; once the configuration names it, what is
    written there holds.

    \b
    reviver pool add api 127.0.0.1:9003
    reviver pool add api app3.internal:80 --weight 2 --max-connections 100
    """
    request = {
        "pool": pool,
        "address": server,
        "weight": weight,
        "backup": backup or None,
        "max_connections": max_connections,
    }
    done = ask_running("pool.add", config, socket, as_json, request=request)
    if not as_json:
        click.echo(f"pool {done['pool']}: {done['server']} was added")
    return 0


@command.command("remove", short_help="Take a server out of a pool.")
@click.argument("pool")
@click.argument("server")
@running_proxy_options
@json_option
def remove(pool: str, server: str, config: Path | None, socket: Path | None, as_json: bool) -> int:
    """Take SERVER out of POOL; requests that it has go on. The last server of a pool cannot be removed.

    One of the configuration stays out over reloads and restarts, until `pool add`, or until the configuration no longer
    names it.

    \b
    reviver pool remove api 127.0.0.1:9003
    """
    done = ask_running("pool.remove", config, socket, as_json, request={"pool": pool, "server": server})
    if not as_json:
        click.echo(f"pool {done['pool']}: {done['server']} was removed")
    return 0
