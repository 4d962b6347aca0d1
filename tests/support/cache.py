"""Tables for the cache: steps of requests, what the origin would answer, what the client must see.

Lines of fields stand as they go over the wire; `{now}`, `{now-60}` and `{now+60}` in them become dates when they are
sent, so that what is old or young needs no waiting. `{base}` is the case's own path.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from itertools import count
from typing import Any

import pytest

from tests.support.client import Client, Response
from tests.support.origin import Exchange, Handler, Origin, Request
from tests.support.proxy import Config, Proxy, forward, reverse
from tests.support.stream import Pairs

_serials = count(1)


def date(offset: int = 0) -> str:
    """An HTTP date so many seconds from now."""
    return formatdate(time.time() + offset, usegmt=True)


def pairs(lines: tuple[str, ...]) -> Pairs:
    """Lines of fields, with their dates filled in."""

    def fill(line: str) -> tuple[str, str]:
        name, _, value = line.partition(":")
        return name, re.sub(r"\{now([+-]\d+)?\}", lambda m: date(int(m[1] or 0)), value.strip())

    return [fill(line) for line in lines]


@dataclass(frozen=True)
class Answer:
    """What the origin says when it is asked."""

    status: int = 200
    lines: tuple[str, ...] = ()
    #: None: text that no other answer has.
    body: bytes | None = None

    def send(self, exchange: Exchange, body: bytes) -> None:
        exchange.read_body()
        lines = [f"HTTP/1.1 {self.status} Fine", *(f"{name}: {value}" for name, value in pairs(self.lines))]
        if self.status >= 200 and self.status not in (204, 304):
            lines.append(f"Content-Length: {len(body)}")
        exchange.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")
        if exchange.request.method != "HEAD" and self.status not in (204, 304):
            exchange.send(body)


class Script:
    """A handler: the answers in turn, the last one again and again. Each body that is not given is another one."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        #: Bodies that were sent, in order.
        self.bodies: list[bytes] = []

    def __call__(self, exchange: Exchange) -> None:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        body = b"body %d" % next(_serials) if answer.body is None else answer.body
        if answer.status != 304:
            self.bodies.append(body)
        answer.send(exchange, body)


def says(*lines: str, status: int = 200, body: bytes | None = None) -> Script:
    """A handler with one answer."""
    return Script(Answer(status, lines, body))


def serves(data: bytes, *lines: str) -> Handler:
    """A handler that knows ranges and entity tags, as a server of files does."""
    tag = next((value for name, value in pairs(lines) if name == "ETag"), None)

    def handler(exchange: Exchange) -> None:
        asked = exchange.request.fields
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", asked.get("Range") or "")
        if tag is not None and asked.get("If-None-Match") == tag:
            Answer(304, lines).send(exchange, b"")
        elif wanted is None or asked.get("If-Range") not in (None, tag):
            Answer(200, lines).send(exchange, data)
        else:
            first, last = wanted.groups()
            start = int(first) if first else max(0, len(data) - int(last))
            end = min(len(data), int(last) + 1) if first and last else len(data)
            if start >= len(data):
                Answer(416, (*lines, f"Content-Range: bytes */{len(data)}")).send(exchange, b"")
            else:
                span = f"Content-Range: bytes {start}-{end - 1}/{len(data)}"
                Answer(206, (*lines, span)).send(exchange, data[start:end])

    return handler


@dataclass
class Stage:
    """A proxy that caches and the origin behind it; the direction makes no difference to what is asked."""

    proxy: Proxy
    origin: Origin
    forward: bool = False

    def path(self, name: str = "x") -> str:
        """A path that no other test uses."""
        return f"/{next(_serials)}/{re.sub('[^a-zA-Z0-9]+', '-', name)}"

    def url(self, path: str) -> str:
        return f"http://{self.origin.address}{path}" if self.forward else f"http://test.example{path}"

    def host(self) -> str:
        return self.origin.address if self.forward else "test.example"

    def request(self, client: Client, path: str, *lines: str, method: str = "GET", body: bytes | None = None) -> None:
        client.request(method, self.url(path) if self.forward else path, pairs(lines), body, host=self.host())

    def ask(self, path: str, *lines: str, method: str = "GET", body: bytes | None = None) -> Response:
        """One request on a connection of its own."""
        with Client(self.proxy.port) as client:
            self.request(client, path, *lines, method=method, body=body)
            return client.response(method)

    def asked(self, path: str) -> int:
        """How often the origin was asked."""
        return len(self.origin.seen(path.partition("?")[0]))

    def on(self, path: str, *lines: str, status: int = 200, body: bytes | None = None) -> Script:
        script = says(*lines, status=status, body=body)
        self.origin.on(path, script)
        return script


def route(**cache: Any) -> Config:
    """A route for everything that caches by these keys."""
    return {"name": "all", "match": {"path": "/*"}, "pool": "all", "cache": cache or True}


@contextmanager
def reverse_stage(top: Config | None = None, **cache: Any) -> Iterator[Stage]:
    with Origin() as origin, Proxy(reverse([origin.address], routes=[route(**cache)], **(top or {}))) as proxy:
        yield Stage(proxy, origin)


@contextmanager
def forward_stage(top: Config | None = None, **cache: Any) -> Iterator[Stage]:
    with Origin() as origin, Proxy(forward(cache=cache or True, top=top)) as proxy:
        yield Stage(proxy, origin, forward=True)


@contextmanager
def stage(direction: str, top: Config | None = None, **cache: Any) -> Iterator[Stage]:
    with (reverse_stage if direction == "reverse" else forward_stage)(top, **cache) as ready:
        yield ready


# -- tables


@dataclass(frozen=True)
class Step:
    """One request. Made by `goes`, `hits` and `checked`."""

    #: `origin`: its answer to this request is what the client gets. `store`: it is not asked. `checked`: it is asked
    #: whether what is stored still holds.
    served_by: str
    answer: Answer = Answer()
    ask: tuple[str, ...] = ()
    method: str = "GET"
    body: bytes | None = None
    #: What stands behind the case's own path.
    at: str = ""
    #: Status at the client; None: that of the answer, or of the stored response.
    status: int | None = None
    #: Lines that the client must see, and names that it must not.
    shows: tuple[str, ...] = ()
    hides: tuple[str, ...] = ()
    #: The same of the request at the origin.
    sends: tuple[str, ...] = ()
    omits: tuple[str, ...] = ()
    #: The step whose response comes from the store; None: the last one with a body from the same place.
    of: int | None = None
    #: Age at the client: at least and at most.
    age: tuple[int, int] | None = None


def goes(*lines: str, status: int = 200, body: bytes | None = None, **more: Any) -> Step:
    """The origin is asked and answers so; the client gets that."""
    sent = more.pop("upload", None)
    return replace(Step("origin", Answer(status, lines, body), body=sent), **more)


def hits(*ask: str, **more: Any) -> Step:
    """The origin is not asked; the client gets what is stored."""
    return replace(Step("store", ask=ask), **more)


def checked(*lines: str, **more: Any) -> Step:
    """The origin is asked whether what is stored still holds and answers 304 with these fields."""
    return replace(Step("checked", Answer(304, lines)), **more)


@dataclass(frozen=True)
class Case:
    """A title that begins with the section, and its steps in order."""

    title: str
    steps: tuple[Step, ...] = field(default=())

    def run(self, on: Stage) -> None:
        base = on.path(self.title)
        given: list[tuple[str, int, bytes]] = []
        for number, step in enumerate(self.steps):
            path = base + step.at
            script = Script(
                replace(step.answer, lines=tuple(line.replace("{base}", base) for line in step.answer.lines))
            )
            on.origin.on(path.partition("?")[0], script)
            before = on.asked(path)
            response = on.ask(path, *step.ask, method=step.method, body=step.body)
            where = f"step {number + 1} of {self.title}: {response.status} {response.fields}"
            self._upstream(step, on.origin.seen(path.partition("?")[0])[before:], where)
            if step.served_by == "origin":
                status, body = step.answer.status, script.bodies[-1] if script.bodies else b""
                given.append((path, status, body))
            else:
                stored = given[step.of] if step.of is not None else [one for one in given if one[0] == path][-1]
                _, status, body = stored
                given.append((path, status, body))
            status = step.status or status
            assert response.status == status, where
            if step.method != "HEAD" and status not in (204, 206, 304, 416, 504):
                assert response.body == body, where
            self._client(step, response, where)

    @staticmethod
    def _upstream(step: Step, asked: list[Request], where: str) -> None:
        if step.served_by == "store":
            assert not asked, f"the origin was asked; {where}"
            return
        assert len(asked) == 1, f"the origin was asked {len(asked)} times; {where}"
        (request,) = asked
        conditional = {"if-none-match", "if-modified-since"} & request.fields.names()
        assert step.served_by == "origin" or conditional, f"not asked by a condition: {request.fields}; {where}"
        for name, value in pairs(step.sends):
            assert ", ".join(request.fields.values(name)) == value, f"{name} at the origin: {request.fields}; {where}"
        for name in step.omits:
            assert name not in request.fields, f"{name} at the origin: {request.fields}; {where}"

    @staticmethod
    def _client(step: Step, response: Response, where: str) -> None:
        for name, value in pairs(step.shows):
            assert ", ".join(response.fields.values(name)) == value, f"{name}; {where}"
        for name in step.hides:
            assert name not in response.fields, f"{name}; {where}"
        if step.served_by == "store" and response.status not in (412, 416, 504):
            # section 4: a response that is used without validation tells its age
            assert (response.fields.get("Age") or "").isdigit(), where
        if step.age is not None:
            low, high = step.age
            assert low <= int(response.fields.get("Age") or "-1") <= high, where


def case(title: str, *steps: Step) -> Case:
    return Case(title, steps)


class Kept(Proxy):
    """A proxy that may be killed: its end is not judged."""

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()


def stats(proxy: Proxy) -> Any:
    """What `reviver cache stats` says."""
    done = proxy.cli("cache", "stats", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def by_title(rows: list[Case]) -> list[object]:
    """The rows as parameters of a test, each named by its title."""
    return [pytest.param(row, id=row.title) for row in rows]
