"""A Docker daemon's API on a unix socket: containers that start, stop, and are healthy or not; no container runs."""

import contextlib
import json
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.support.origin import Exchange
from tests.support.stream import Closed

Filters = dict[str, list[str]]


@dataclass
class Container:
    """One that runs."""

    name: str
    labels: dict[str, str]
    #: Address by network.
    networks: dict[str, str]
    #: Ports that are exposed, `53/udp` for others than TCP.
    ports: tuple[str, ...] = ("80",)
    #: none, starting, healthy or unhealthy
    health: str = "none"
    state: str = "running"
    identity: str = field(default="")

    def summary(self) -> dict[str, Any]:
        """As it is in the list of containers."""
        mark = {"none": "", "starting": " (health: starting)"}.get(self.health, f" ({self.health})")
        ports = [port.partition("/") for port in self.ports]
        return {
            "Id": self.identity or self.name.encode().hex().ljust(64, "0"),
            "Names": [f"/{self.name}"],
            "Image": "app:1",
            "Labels": self.labels,
            "State": self.state,
            "Status": f"Up 5 minutes{mark}",
            "Ports": [{"PrivatePort": int(port), "Type": kind or "tcp"} for port, _, kind in ports],
            "NetworkSettings": {
                "Networks": {
                    name: {"IPAddress": "" if ":" in address else address, "GlobalIPv6Address": address}
                    if ":" in address
                    else {"IPAddress": address, "GlobalIPv6Address": ""}
                    for name, address in self.networks.items()
                }
            },
        }


class Docker:
    """Lists containers and streams events, with the filters that the real one has for them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.containers: dict[str, Container] = {}
        #: Targets of all requests so far.
        self.requests: list[str] = []
        #: The newest version of the API that it speaks; none: it has no word for that.
        self.version: str | None = "1.55"
        #: Status and message that every request gets.
        self.refuses: tuple[int, str] | None = None
        self._streams: list[tuple[Exchange, Filters]] = []
        self._open: list[Exchange] = []
        self._news = threading.Lock()
        self.up()

    # -- what happens

    def run(self, name: str, address: str, pool: str = "api", **more: Any) -> None:
        """Starts a container with the label of a pool, reached by `address`, HOST:PORT."""
        host, _, port = address.rpartition(":")
        labels = {"reviver.pool": pool, **more.pop("labels", {})}
        made = Container(name, labels, {"bridge": host.strip("[]")}, (port,))
        self.add(made, **more)

    def add(self, container: Container, **more: Any) -> None:
        for key, value in more.items():
            setattr(container, key, value)
        with self._news:
            self.containers[container.name] = container
        self._tell("start", container)

    def stop(self, name: str) -> None:
        with self._news:
            container = self.containers.pop(name)
        self._tell("die", container)

    def turn(self, name: str, health: str) -> None:
        """A health check of a container has changed its mind."""
        self.containers[name].health = health
        self._tell(f"health_status: {health}", self.containers[name])

    def check(self, name: str) -> None:
        """What goes by all the time where there are health checks, and changes nothing."""
        self._tell("exec_start: /bin/sh -c true", self.containers[name])

    # -- the daemon

    def up(self) -> None:
        """Answers from here on."""
        self.path.unlink(missing_ok=True)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(self.path))
        self.sock.listen(64)
        threading.Thread(target=self._accept, args=(self.sock,), daemon=True).start()

    def down(self) -> None:
        """What a stopped daemon looks like: its socket is gone and connections are cut."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.path.unlink(missing_ok=True)
        with self._news:
            opened, self._open, self._streams = self._open, [], []
        for exchange in opened:
            exchange.cut()

    def listed(self) -> int:
        """How often containers were listed."""
        with self._news:
            return sum("/containers/json" in target for target in self.requests)

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listening.accept()
                exchange = Exchange(sock, 0)
                with self._news:
                    self._open.append(exchange)
                threading.Thread(target=self._serve, args=(exchange,), daemon=True).start()

    def _serve(self, exchange: Exchange) -> None:
        with contextlib.suppress(Closed, OSError):
            while True:
                target = exchange.next_request().target
                with self._news:
                    self.requests.append(target)
                parts = urlsplit(target)
                path = parts.path.removeprefix("" if self.version is None else f"/v{self.version}")
                filters: Filters = json.loads(parse_qs(parts.query).get("filters", ["{}"])[0])
                if self.refuses is not None:
                    status, message = self.refuses
                    exchange.respond(status, json.dumps({"message": message}).encode(), reason="Refused")
                elif path == "/_ping":
                    said = [] if self.version is None else [("Api-Version", self.version)]
                    exchange.respond(200, b"OK", *said)
                elif path == parts.path and self.version is not None:
                    exchange.respond(400, b'{"message": "no version, or another one"}')
                elif path == "/containers/json":
                    exchange.respond(200, json.dumps(self._matching(filters)).encode())
                elif path == "/events":
                    exchange.read_body()
                    exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    with self._news:
                        self._streams.append((exchange, filters))
                    exchange.read_some()
                    return
                else:
                    exchange.respond(404, b'{"message": "page not found"}')

    def _matching(self, filters: Filters) -> list[dict[str, Any]]:
        with self._news:
            return [
                container.summary()
                for container in self.containers.values()
                if container.state in filters.get("status", [container.state])
                and container.health in filters.get("health", [container.health])
                and _labelled(container, filters)
            ]

    def _tell(self, action: str, container: Container) -> None:
        event = {"Type": "container", "Action": action, "Actor": {"Attributes": {"name": container.name}}}
        line = json.dumps(event).encode() + b"\n"
        with self._news:
            streams = list(self._streams)
        for exchange, filters in streams:
            # an action with a colon is found by what stands before it
            wanted = filters.get("event", [action])
            if {action, action.partition(":")[0]}.isdisjoint(wanted) or not _labelled(container, filters):
                continue
            with contextlib.suppress(Closed, OSError):
                exchange.send(b"%x\r\n%s\r\n" % (len(line), line))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.down()


def _labelled(container: Container, filters: Filters) -> bool:
    for wanted in filters.get("label", []):
        name, sign, value = wanted.partition("=")
        if name not in container.labels or (sign and container.labels[name] != value):
            return False
    return True
