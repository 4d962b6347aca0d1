"""`reviver demo`: both directions at work, with nothing prepared."""

import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from reviver.cli.output import print_table
from reviver.cli.traffic import Outcome, Scene, send_all

NAMES = ("red", "green", "blue")
HOST = "127.0.0.1"


@click.command("demo")
@click.option("--once", is_flag=True, help="Send the traffic, print the results and end: 0 when all is well, else 1.")
@click.option(
    "--port-base",
    type=click.IntRange(1, 65534),
    metavar="N",
    help="Listen on N (reverse) and N+1 (forward); by default 8080 and 3128 where they are free.",
)
def command(once: bool, port_base: int | None) -> int:
    """Both directions on loopback, with some traffic.

    Starts three small origins, a reverse listener in front of them and a forward listener, sends a request of each
    kind, shows what came of it, and stays up until Ctrl-C with lines to try by hand.

    \b
    reviver demo
    reviver demo --once
    """
    from reviver.config import load_mapping
    from reviver.control.engine import demo_origins
    from reviver.control.proxy import Source
    from reviver.control.serve import serve

    with tempfile.TemporaryDirectory(prefix="reviver-demo-") as folder:
        web = port_base or _free_port(8080)
        scene = Scene(
            web=f"{HOST}:{web}",
            office=f"{HOST}:{port_base + 1 if port_base else _free_port(3128, but=web)}",
            origins=tuple(demo_origins(NAMES)),
            names=NAMES,
        )
        tree = configuration(scene, Path(folder))
        outcomes: list[Outcome] = []

        def show() -> bool:
            outcomes.extend(send_all(scene))
            _print_outcomes(outcomes)
            if not once:
                click.echo(_lines_to_try(scene, tree))
            return not once

        code = serve(
            Source("the demonstration", f"demo {scene.web}", lambda: load_mapping(tree, "demo")), on_ready=show
        )
    return code or (0 if outcomes and all(outcome.ok for outcome in outcomes) else 1)


def configuration(scene: Scene, folder: Path) -> dict[str, Any]:
    """What the demonstration runs: a small tour of both directions."""
    return {
        "control": {"socket": str(folder / "control.sock")},
        "listeners": {
            "web": {"bind": scene.web, "role": "reverse"},
            "office": {"bind": scene.office, "role": "forward"},
        },
        "logs": [{"to": f"file:{folder / 'access.log'}", "format": "combined"}],
        "reverse": {
            "routes": [
                {"name": "hello", "match": {"path": "/hello"}, "respond": {"body": "hello from reviver\n"}},
                {"name": "moved", "match": {"path": "/old/*"}, "redirect": {"to": "/new/page", "status": 308}},
                {
                    "name": "marked",
                    "match": {"path": "/marked"},
                    "pool": "origins",
                    "headers": {"response": {"set": {"x-demo": "set by a rule"}}},
                },
                {"name": "all", "match": {"path": "/*"}, "pool": "origins"},
            ],
            "pools": {"origins": {"servers": list(scene.origins)}},
        },
        "forward": {
            "private_destinations": "allow",
            "connect_ports": [443, *(int(origin.rpartition(":")[2]) for origin in scene.origins)],
        },
    }


def _free_port(wanted: int, but: int | None = None) -> int:
    """The wanted port where nobody listens on it, else one that the system chooses."""
    for port in (wanted, 0):
        with suppress(OSError), socket.create_server((HOST, port)) as probe:
            found: int = probe.getsockname()[1]
            if found != but:
                return found
    return _free_port(0, but)


def _print_outcomes(outcomes: list[Outcome]) -> None:
    rows = [(item.check, item.expected, item.got, "ok" if item.ok else "FAILED") for item in outcomes]
    print_table(("check", "expected", "got", "ok"), rows)
    good = sum(outcome.ok for outcome in outcomes)
    click.echo(f"\n{good} of {len(outcomes)} as expected")


def _lines_to_try(scene: Scene, tree: dict[str, Any]) -> str:
    origin = scene.origins[0]
    # curl obeys these variables even for loopback addresses and an explicit proxy.
    variables = {name.lower() for name, value in os.environ.items() if value}
    plain = "curl -i --noproxy '*'" if variables & {"http_proxy", "all_proxy"} else "curl -i"
    proxied = "curl -i --noproxy ''" if "no_proxy" in variables else "curl -i"
    log = tree["logs"][0]["to"].removeprefix("file:")
    return f"""
reverse: http://{scene.web}/ in front of three origins
  {plain} http://{scene.web}/
  {plain} http://{scene.web}/hello
  {plain} http://{scene.web}/old/page
  {plain} http://{scene.web}/marked

forward: http://{scene.office} and socks5h://{scene.office}
  {proxied} --proxy http://{scene.office} http://{origin}/
  {proxied} --proxytunnel --proxy http://{scene.office} http://{origin}/
  {proxied} --proxy socks5h://{scene.office} http://{origin}/

from another terminal
  reviver status --socket {tree["control"]["socket"]}
  tail -f {log}

Ctrl-C ends it."""
