"""`reviver status`: how the running proxy fares."""

from pathlib import Path
from typing import Any

import click

from reviver.cli.options import find_socket, json_option, running_proxy_options
from reviver.cli.output import SERVER_STATES, cache_line, duration, print_json, print_table, size


@click.command("status")
@running_proxy_options
@json_option
def command(config: Path | None, socket: Path | None, as_json: bool) -> int:
    """Show how the running proxy fares: listeners, routes, servers, counters and latencies.

    Exit code 1 when none is running.

    \b
    reviver status
    reviver status --json | jq .epoch
    """
    from reviver.control.client import ask

    status = ask(find_socket(config, socket), "status")
    if as_json:
        print_json(status)
    else:
        _show(status)
    return 0


def _show(status: dict[str, Any]) -> None:
    doing = "is draining" if status["draining"] else "serves"
    click.echo(f"reviver {status['version']} {doing} {status['configuration']}, process {status['pid']}")
    user = f", as {status['user']}" if status["user"] else ""
    workers = f"{status['workers']} worker{'s' if status['workers'] != 1 else ''}"
    click.echo(f"up {duration(status['uptime_seconds'])}, epoch {status['epoch']}, {workers}{user}")
    click.echo(f"control socket {status['control']}")
    if status["retiring"]:
        click.echo(f"flows still keep to epoch {', '.join(map(str, status['retiring']))}")
    if status["panics"]:
        click.echo(f"requests that ended in an internal error: {status['panics']}")
    reload = status["last_reload"]
    if reload and not reload["ok"]:
        click.echo(f"the reload at {reload['at']} failed; the earlier configuration goes on")
    if "cache" in status:
        click.echo(f"cache: {cache_line(status['cache'])}")

    metrics = status["metrics"]
    _table(
        ("listener", "role", "bind", "with", "open", *COUNTS),
        [
            [
                item["name"],
                item["role"],
                " ".join(item["bind"]),
                ", ".join(name for key, name in SPOKEN if item.get(key)),
                item["connections"],
                *_counts(metrics["listeners"].get(item["name"])),
            ]
            for item in status["listeners"]
        ],
    )
    _table(("route", *COUNTS), [[name, *_counts(metrics["routes"].get(name))] for name in status["routes"]])
    _table(
        ("server", "state", *COUNTS),
        [
            [name, states.get(server), *_counts(metrics["servers"].get(name))]
            for pool in status["pools"]
            for states in [status.get("servers", {}).get(pool["name"], {})]
            for server in pool["servers"]
            for name in [f"{pool['name']}/{server}"]
        ],
    )
    _table(
        ("split", "weights"),
        [
            [name, ", ".join(f"{variant} {weight / 100:g} %" for variant, weight in weights.items())]
            for name, weights in status.get("splits", {}).items()
        ],
    )
    failures = sorted(metrics["total"]["failures"].items(), key=lambda item: (-item[1], item[0]))
    _table(("failure", "flows"), [list(failure) for failure in failures])
    logs = status["logs"]
    columns = ("to", "format", "written", "dropped", "failing")
    _table(("log", *columns[1:]), [[log[column] for column in columns] for log in logs])


SPOKEN = (("tls", "TLS"), ("http2", "HTTP/2"))
"""What a listener may speak beside HTTP/1.1, by its key."""
COUNTS = ("requests", "2xx", "3xx", "4xx", "5xx", "p50 ms", "p99 ms", "in", "out")


def _counts(group: dict[str, Any] | None) -> list[str]:
    """The cells of COUNTS for a listener, route or server; empty where it has seen nothing yet."""
    if group is None:
        return [""] * len(COUNTS)
    latency = group["latency_ms"]
    return [
        str(group["requests"]),
        *(str(group["status"].get(status_class, "")) for status_class in ("2xx", "3xx", "4xx", "5xx")),
        *(f"{latency[quantile]:.2f}" if latency["count"] else "" for quantile in ("p50", "p99")),
        size(group["bytes_in"]),
        size(group["bytes_out"]),
    ]


def _table(columns: tuple[str, ...], rows: list[list[Any]]) -> None:
    if rows:
        click.echo()
        print_table(columns, rows, styles=SERVER_STATES)
