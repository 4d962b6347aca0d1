"""What `reviver pool` says of the servers, and what the program says of their changes."""

import json
from typing import Any

from tests.support.proxy import Config, Proxy
from tests.support.stream import PATIENCE
from tests.support.wait import until

Row = dict[str, Any]

#: Checks that soon know, and that a loaded machine does not fail.
HEALTH: Config = {"path": "/healthz", "every": "1s", "timeout": "1s", "every_down": "100ms", "rise": 1, "fall": 2}


def pool(proxy: Proxy, name: str = "all") -> Row:
    """One pool as `reviver pool status` tells it."""
    done = proxy.cli("pool", "status", name, "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["pools"]
    assert row["name"] == name
    return dict(row)


def servers(proxy: Proxy, name: str = "all") -> dict[str, Row]:
    """Its servers by their addresses."""
    return {row["address"]: row for row in pool(proxy, name)["servers"]}


def server(proxy: Proxy, address: str, name: str = "all") -> Row:
    return servers(proxy, name)[address]


def states(proxy: Proxy, name: str = "all") -> list[str]:
    """In the order in which the servers are written."""
    return [row["state"] for row in pool(proxy, name)["servers"]]


def wait_states(proxy: Proxy, *wanted: str, name: str = "all", seconds: float = PATIENCE) -> None:
    """Waits until the servers are in these states, in their order."""
    until(lambda: states(proxy, name) == list(wanted), f"states {wanted}", seconds)


def wait_waiting(proxy: Proxy, count: int, name: str = "all") -> None:
    """Waits until so many requests wait for room."""
    until(lambda: pool(proxy, name)["waiting"] == count, f"{count} requests to wait")


def wait_in_flight(proxy: Proxy, *wanted: int, name: str = "all") -> None:
    """Waits until the servers carry so many requests, in their order."""
    until(lambda: [row["in_flight"] for row in pool(proxy, name)["servers"]] == list(wanted), f"in flight: {wanted}")


def change(proxy: Proxy, *arguments: object) -> Any:
    """A `reviver pool` command that must go well; its answer."""
    done = proxy.cli("pool", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def notes(proxy: Proxy, *words: str) -> list[str]:
    """Lines that the program has said in which all these words stand, whatever their case."""
    return [line for line in proxy.stderr.splitlines() if all(word.lower() in line.lower() for word in words)]


def wait_note(proxy: Proxy, *words: str) -> str:
    """Waits until a line says so; the line."""
    return until(lambda: notes(proxy, *words), f"a line with {words} in {proxy.stderr[-2000:]}")[0]
