"""`reviver forward`: a forward proxy in one line."""

from pathlib import Path
from typing import Any

import click

from reviver.cli.options import FILE, serve_generated, workers_option

LEVELS = ("transparent", "anonymous", "high")


@click.command("forward")
@click.option("--listen", metavar="ADDRESS", default="127.0.0.1:3128", show_default=True, help="Where clients connect.")
@click.option(
    "--anonymity",
    type=click.Choice(LEVELS),
    default="anonymous",
    show_default=True,
    help="What the origin learns: the client's address, that there is a proxy, or neither.",
)
@click.option("--auth", type=FILE, metavar="FILE", help="An htpasswd file: only its users may use the proxy.")
@click.option("--allow", metavar="CIDR", multiple=True, help="A network that may use the proxy. May be repeated.")
@click.option("--cache", is_flag=True, help="Keep what may be kept in memory, and answer from there.")
@workers_option
def command(
    listen: str, anonymity: str, auth: Path | None, allow: tuple[str, ...], cache: bool, workers: int | None
) -> int:
    """A forward proxy in one line: HTTP proxy, CONNECT and SOCKS5 on one port.

    A listener that other machines can reach needs --auth or --allow.

    \b
    reviver forward
    reviver forward --cache
    reviver forward --listen 10.0.0.1:3128 --allow 10.0.0.0/8 --anonymity high
    curl --proxy http://127.0.0.1:3128 http://example.com/
    curl --proxy socks5h://127.0.0.1:3128 https://example.com/
    """
    return serve_generated("forward", listen, configuration(listen, anonymity, auth, allow, cache), workers=workers)


def configuration(
    listen: str, anonymity: str, auth: Path | None, allow: tuple[str, ...], cache: bool = False
) -> dict[str, Any]:
    """The configuration that the command line stands for."""
    forward: dict[str, Any] = {"anonymity": {"level": anonymity}}
    if auth is not None:
        forward["auth"] = {"basic": str(auth.absolute())}
    if allow:
        forward["clients"] = list(allow)
    if cache:
        forward["cache"] = True
    return {"listeners": {"office": {"bind": listen, "role": "forward"}}, "forward": forward}
