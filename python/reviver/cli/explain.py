"""`reviver explain`: which rule decides a request, and why."""

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from reviver.cli.options import configuration, header_option, json_option, load
from reviver.cli.output import print_json, print_table

if TYPE_CHECKING:
    from reviver.compile import Plan


def _address(_: click.Context, __: click.Parameter, value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not an IP address") from error


@click.command("explain")
@click.argument("request", metavar="[CONFIG] METHOD URL", nargs=-1, required=True)
@header_option
@click.option("--client", default="127.0.0.1", show_default=True, callback=_address, metavar="IP", help="Who asks.")
@click.option("--listener", metavar="NAME", help="Where it comes in; by default the first that fits the URL.")
@json_option
def command(
    request: tuple[str, ...], headers: list[tuple[str, str]], client: str, listener: str | None, as_json: bool
) -> int:
    """Say which rule decides a request, and why, without sending it.

    The decision is made by the same code as for live traffic. Where a proxy runs with this configuration, it is asked
    what its cache has for the request.

    \b
    reviver explain GET https://shop.example/old/page
    reviver explain site.yaml POST http://api.example/v1/x -H 'X-Beta: 1' --client 10.1.2.3
    reviver explain CONNECT example.com:25 --listener office
    """
    if len(request) not in (2, 3):
        raise click.UsageError("give METHOD and URL, and before them CONFIG if it is not the folder's own")
    *config, method, url = request
    from reviver.cli.explain_cache import looked_up
    from reviver.control import engine
    from reviver.control.compiled import compile_loaded
    from reviver.control.wishes import with_stand_ins

    path = configuration(Path(config[0]) if config else None)
    compiled, found = with_stand_ins(compile_loaded(load(path)))
    names = [item["name"] for item in compiled.plan["listeners"]]
    if listener is not None and listener not in names:
        raise click.BadParameter(f"there is no listener {listener!r}; there are: {', '.join(names)}")
    listener = listener or _listener(compiled.plan, method, url)
    answer = engine.explain(compiled, method, url, listener=listener, headers=headers, client=client)
    for address, source in found.items():
        answer["servers"] = [source if server == address else server for server in answer["servers"]]
        for step in answer["steps"]:
            step["detail"] = step["detail"].replace(address, source) if step["detail"] else step["detail"]
    asked = {"listener": listener, "method": method, "url": url, "headers": list(headers), "client": client}
    looked = looked_up(path, asked, answer)
    if as_json:
        print_json({**answer, **looked})
    else:
        _show(answer, compiled.plan, looked)
    return 0


def _listener(plan: "Plan", method: str, url: str) -> str | None:
    """The reverse listener that speaks the URL's scheme, and has its port if one has; the engine's choice for None."""
    try:
        parts = urlsplit(url)
        scheme, port = parts.scheme.lower(), parts.port or {"http": 80, "https": 443}.get(parts.scheme.lower())
    except ValueError:
        return None
    if method == "CONNECT" or scheme not in ("http", "https"):
        return None
    reverse = [item for item in plan["listeners"] if item["role"] == "reverse"]
    fitting = [item for item in reverse if (item["tls"] is not None) == (scheme == "https")]
    there = (item for item in fitting if any(bind.rpartition(":")[2] == str(port) for bind in item["bind"]))
    chosen = next(there, fitting[0] if fitting else None)
    return chosen["name"] if chosen is not None else None


def _show(answer: dict[str, Any], plan: "Plan", looked: dict[str, Any]) -> None:
    from reviver.cli.explain_cache import serves, show

    click.echo(f"{answer['method']} on listener {answer['listener']} ({answer['role']}), from {answer['client']}\n")
    columns = ("phase", "verdict", "reason", "at", "detail")
    print_table(columns, [[step[column] for column in columns] for step in answer["steps"]])
    if answer["passed_over"]:
        click.echo("\npassed over:")
        reasons = ("route", "at", "condition")
        print_table(reasons, [[route[reason] for reason in reasons] for route in answer["passed_over"]])
    show(looked)
    from_cache = "answered from the cache; else " if serves(looked) else ""
    click.echo(f"\n{from_cache}{_verdict(answer, plan)}")
    if answer["upstream_request"]:
        click.echo("\nthe upstream would see:")
        for line in answer["upstream_request"].splitlines():
            click.echo(f"  {line}".rstrip())


def _verdict(answer: dict[str, Any], plan: "Plan") -> str:
    """What would become of the request, by which rule, on one line."""
    servers = ", ".join(answer["servers"])
    pool = f"pool {answer['pool']}: {servers}" if answer["pool"] else servers
    outcome = {
        "answer": f"answered here with {answer['status']}{_location(answer['route'], plan)}",
        "upstream": f"sent to {pool}",
        "tunnel": f"a tunnel to {pool}",
        "purge": "purges what is stored for its URL",
        "closed": "the connection is closed",
    }[answer["outcome"]]
    by = f", by route {answer['route']}" if answer["route"] else ""
    at = f" ({answer['at']})" if answer["at"] else ""
    return f"{outcome}{by}{at}: {answer['reason']}"


def _location(route: str | None, plan: "Plan") -> str:
    """Where a redirect would send the client, as it is written in the configuration."""
    routes = [] if plan["reverse"] is None else plan["reverse"]["routes"]
    actions: list[Any] = [item["action"] for item in routes if item["name"] == route]
    return next((f" to {action['redirect']['to']}" for action in actions if "redirect" in action), "")
