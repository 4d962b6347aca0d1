"""Servers behind a pool, each on a loopback address of its own: they die, come back, hold, are slow or sick."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Self

from tests.support.client import Client, Given, Response, fetch
from tests.support.origin import Exchange, Handler, Origin
from tests.support.proxy import Config, free_port
from tests.support.stream import PATIENCE
from tests.support.wait import until


class Mortal(Origin):
    """An origin that dies and comes back at the same address; what it saw is kept over its deaths."""

    def __init__(self, name: str = "origin", handler: Handler | None = None, *, host: str = "127.0.0.1") -> None:
        self.host = host
        super().__init__(name, handler, host=host, port=free_port(host))

    def die(self) -> None:
        """What a killed process looks like: connections are refused, open ones are cut."""
        self.close()

    def rise(self) -> None:
        self.listen(self.host, self.port)

    def heal(self) -> None:
        """Answers by its name again."""
        self.default = self.name_yourself


@contextmanager
def fleet(count: int = 3, handler: Handler | None = None) -> Iterator[list[Mortal]]:
    """Servers `a`, `b`, `c` and so on."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(Mortal(chr(ord("a") + number), handler, host=f"127.0.0.{11 + number}"))
            for number in range(count)
        ]


def addresses(servers: Sequence[Origin], **keys: object) -> list[Config]:
    """The servers as a pool names them, all with these keys."""
    return [{"address": server.address, **keys} for server in servers]


# -- handlers


class Gate:
    """Holds requests until they are let go; knows how many it holds, and how many it held at most."""

    def __init__(self, then: Handler | None = None) -> None:
        self.then = then
        self.holding = 0
        self.peak = 0
        #: Targets in the order in which they came.
        self.came: list[str] = []
        self._leave = 0
        self._open = False
        self._news = threading.Condition()

    def __call__(self, exchange: Exchange) -> None:
        exchange.read_body()
        with self._news:
            self.came.append(exchange.request.target)
            self.holding += 1
            self.peak = max(self.peak, self.holding)
            self._news.notify_all()
            assert self._news.wait_for(lambda: self._open or self._leave, 60), "nobody lets it go"
            self._leave = max(0, self._leave - 1)
            self.holding -= 1
            self._news.notify_all()
        if self.then:
            self.then(exchange)
        else:
            exchange.respond(200, b"held")

    def wait(self, count: int) -> None:
        """Waits until it holds so many."""
        with self._news:
            held = self._news.wait_for(lambda: self.holding >= count, PATIENCE)
            assert held, f"{self.holding} of {count} requests came"

    def wait_came(self, count: int) -> None:
        """Waits until so many have come in all."""
        with self._news:
            came = self._news.wait_for(lambda: len(self.came) >= count, PATIENCE)
            assert came, f"{len(self.came)} of {count} requests came"

    def release(self, count: int = 1) -> None:
        with self._news:
            self._leave += count
            self._news.notify_all()

    def open(self) -> None:
        """Holds nothing any more."""
        with self._news:
            self._open = True
            self._news.notify_all()


def slow(seconds: float, then: Handler | None = None) -> Handler:
    """Takes so long for each answer."""
    never = threading.Event()

    def handler(exchange: Exchange) -> None:
        exchange.read_body()
        never.wait(seconds)
        (then or (lambda exchange: exchange.respond(200, b"late")))(exchange)

    return handler


def breaks_off(exchange: Exchange) -> None:
    """Resets the connection when it has the request."""
    exchange.read_body()
    exchange.reset()


def breaks_off_in_the_head(exchange: Exchange) -> None:
    exchange.read_body()
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    exchange.reset()


def breaks_off_in_the_body(exchange: Exchange) -> None:
    exchange.read_body()
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    exchange.reset()


class Flapping:
    """Answers by one handler and then the other, so many times each, over and over."""

    def __init__(self, one: Handler, other: Handler, each: int) -> None:
        self.handlers, self.each, self.count = (one, other), each, 0

    def __call__(self, exchange: Exchange) -> None:
        handler = self.handlers[self.count // self.each % 2]
        self.count += 1
        handler(exchange)


# -- who answers


def who(response: Response) -> str:
    """The server that answered, or the status where none did."""
    return response.fields.get("X-Origin") or str(response.status)


def spread(port: int, count: int, target: str = "/", fields: Given = (), *, source: str | None = None) -> Counter[str]:
    """Who answers so many requests, one after another; each on a connection of its own, so that every worker has its
    turn."""
    return Counter(who(fetch(port, target, fields, source=source)) for _ in range(count))


class Crowd:
    """Many requests over a few kept connections, used in turn: with 12 of them one of two workers is left out once in
    2,000 times."""

    def __init__(self, port: int, connections: int = 12, source: str | None = None) -> None:
        self._stack = ExitStack()
        self._clients = [self._stack.enter_context(Client(port, source=source)) for _ in range(connections)]
        self._count = 0

    def ask(self, target: str = "/", fields: Given = ()) -> Response:
        self._count += 1
        return self._clients[self._count % len(self._clients)].ask("GET", target, fields)

    def spread(self, requests: Sequence[tuple[str, Given]]) -> list[str]:
        """Who answers each of them."""
        return [who(self.ask(target, fields)) for target, fields in requests]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def held_one_by_one(stack: ExitStack, port: int, gates: Sequence[Gate], count: int, fields: Given = ()) -> list[Client]:
    """Requests that are all on their way at the same time, each sent when the one before has reached a server."""
    clients = []
    before = sum(gate.holding for gate in gates)
    for number in range(count):
        client = stack.enter_context(Client(port))
        client.request("GET", f"/{number}", fields)
        clients.append(client)
        wanted = before + number + 1
        until(lambda wanted=wanted: sum(gate.holding for gate in gates) >= wanted, f"{wanted} requests to be held")  # type: ignore[misc]
    return clients


def with_gates(servers: Sequence[Origin]) -> list[Gate]:
    """Each server holds all that it is asked; who is let go gets its name."""
    gates = [Gate(server.name_yourself) for server in servers]
    for server, gate in zip(servers, gates, strict=True):
        server.default = gate
    return gates
