"""`reviver reverse`: a load balancer in one line."""

import re
from typing import Any

import click

from reviver.cli.options import serve_generated, workers_option


@click.command("reverse")
@click.option("--listen", metavar="ADDRESS", default=":8080", show_default=True, help="Where clients connect.")
@click.option("--cache", is_flag=True, help="Keep what may be kept in memory, and answer from there.")
@workers_option
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
def command(listen: str, cache: bool, workers: int | None, targets: tuple[str, ...]) -> int:
    """A load balancer in one line.

    Every request goes to one of the TARGETs, each in turn; one that refuses connections is passed over. A TARGET is
    HOST:PORT, http://HOST[:PORT], https://HOST[:PORT], or a PORT of this machine. By https the server's certificate is
    checked; then all of them are https.

    \b
    reviver reverse 127.0.0.1:9001 127.0.0.1:9002
    reviver reverse --cache 127.0.0.1:9001
    reviver reverse --listen 127.0.0.1:8000 http://app.internal
    reviver reverse https://app.internal
    """
    secure = [target.lower().startswith("https://") for target in targets]
    if any(secure) and not all(secure):
        tls, plain = targets[secure.index(True)], targets[secure.index(False)]
        raise click.UsageError(f"{tls} is https and {plain} is http: give targets of one kind")
    return serve_generated("reverse", listen, configuration(listen, targets, cache), workers=workers)


def configuration(listen: str, targets: tuple[str, ...], cache: bool = False) -> dict[str, Any]:
    """The configuration that the command line stands for."""
    tls = {"tls": True} if targets[0].lower().startswith("https://") else {}
    caches = {"cache": True} if cache else {}
    return {
        "listeners": {"web": {"bind": listen, "role": "reverse"}},
        "reverse": {
            "routes": [{"name": "all", "match": {"path": "/*"}, "pool": "targets", **caches}],
            "pools": {"targets": {"servers": [_address(target) for target in targets], **tls}},
        },
    }


def _address(target: str) -> str:
    """A target as a server's address; what it does not know is left for the configuration's checks."""
    for scheme, port in (("http://", 80), ("https://", 443)):
        if target.lower().startswith(scheme):
            authority = target[len(scheme) :].removesuffix("/")
            return authority if re.search(r":\d+$", authority) else f"{authority}:{port}"
    if re.fullmatch(r":?\d+", target):
        return f"127.0.0.1:{target.removeprefix(':')}"
    return target
