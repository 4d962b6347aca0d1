"""Servers from a web service on loopback."""

import gzip
import json
import threading
from collections.abc import Iterator

import pytest

from reviver.discovery.http import Endpoint
from tests.support.discovery import Pauses, addresses, answers, discover, reason, told
from tests.support.origin import Exchange, Handler, Origin, Refusing, Waits, replies, responds
from tests.support.wait import wait_for

ONE, TWO = b'["127.0.0.1:1"]', b'{"servers": ["127.0.0.1:1", {"address": "127.0.0.1:2", "weight": 3, "backup": true}]}'


@pytest.fixture
def service() -> Iterator[Origin]:
    with Origin("registry", responds(200, ONE)) as service:
        yield service


def source(service: Origin | Refusing, pauses: Pauses | None = None, **keys: object) -> Endpoint:
    return Endpoint(discover(http=f"http://{service.address}/pools/api?v=1", **keys), pauses or Pauses())


def in_turn(*handlers: Handler) -> Handler:
    """Each request by the next of them, all others by the last."""
    left = list(handlers)
    return lambda exchange: (left.pop(0) if len(left) > 1 else left[0])(exchange)


def test_a_list_and_a_table_of_one(service: Origin) -> None:
    service.default = in_turn(responds(200, ONE), responds(200, TWO))
    pauses = Pauses()
    first, second, _ = answers(source(service, pauses, every="3s"), 3)
    assert addresses(first) == ["127.0.0.1:1"]
    assert told(second.servers) == [("127.0.0.1:1", 1, False), ("127.0.0.1:2", 3, True)]  # type: ignore[union-attr]
    assert pauses.taken == [3, 3]


def test_what_is_asked(service: Origin) -> None:
    answers(source(service, headers={"Authorization": "Bearer t", "accept": "application/vnd.x+json"}), 2)
    first, second = service.seen("/pools/api")
    assert (first.method, first.target) == ("GET", "/pools/api?v=1")
    assert first.fields.get("Authorization") == "Bearer t"
    assert first.fields.get("Accept") == "application/vnd.x+json"
    assert str(first.fields.get("User-Agent")).startswith("reviver/")
    assert first.connection == second.connection, "the connection is kept"


def test_what_has_not_changed_is_not_sent_again(service: Origin) -> None:
    def answer(exchange: Exchange) -> None:
        known = exchange.request.fields.get("If-None-Match") == '"1"'
        exchange.respond(304 if known else 200, b"" if known else ONE, ("ETag", '"1"'))

    service.default = answer
    first, second = answers(source(service), 2)
    assert addresses(first) == addresses(second) == ["127.0.0.1:1"]
    assert [request.fields.get("If-None-Match") for request in service.seen("/pools/api")] == [None, '"1"']


def test_an_entity_tag_is_that_of_the_last_good_answer(service: Origin) -> None:
    tagged, broken = responds(200, ONE, ("ETag", '"1"')), responds(200, b"{", ("ETag", '"2"'))
    service.default = in_turn(tagged, broken, responds(200, TWO))
    found, failed, other, _ = answers(source(service), 4)
    assert addresses(found) == ["127.0.0.1:1"]
    assert reason(failed).startswith("its answer is not JSON: ")
    assert addresses(other) == ["127.0.0.1:1", "127.0.0.1:2"]
    tags = [request.fields.get("If-None-Match") for request in service.seen("/pools/api")]
    assert tags == [None, '"1"', '"1"', None]


@pytest.mark.parametrize(
    ("handler", "sentence"),
    [
        (responds(500), "it answers 500 Fine"),
        (replies(b"HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n"), "it answers 404"),
        (responds(302, b"", ("Location", "/elsewhere")), "it answers 302 Fine"),
        (responds(304), "it answers 304 Fine"),
        (responds(204), "it answers 204 Fine"),
        (responds(200, b"<html>"), "its answer is not JSON: Expecting value: line 1 column 1 (char 0)"),
        (responds(200, b"[" * 100_000), "its answer is not JSON"),
        (responds(200, b"\xff"), "its answer is not JSON"),
        (responds(200, b'["a"]'), "[0]: 'a' has no port (write HOST:PORT, [IPV6]:PORT for an IPv6 address)"),
        (responds(200, b'{"servers": 1}'), "servers: not a list of servers"),
        (responds(200, b'"' + b"x" * (5 << 20) + b'"'), "its answer is larger than 4 MiB"),
        (responds(200, gzip.compress(b" " * (64 << 20)), ("Content-Encoding", "gzip")),
         "its answer is larger than 4 MiB"),
        (replies(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[", close=True),
         "peer closed connection without sending complete message body (received 1 bytes, expected 100)"),
        (replies(b"220 smtp.example\r\n\r\n", close=True), "illegal status line: bytearray(b'220 smtp.example')"),
    ],
)  # fmt: skip
def test_answers_that_say_nothing(service: Origin, handler: Handler, sentence: str) -> None:
    service.default = in_turn(handler, responds(200, ONE))
    failed, found = answers(source(service), 2)
    assert reason(failed) == sentence
    assert addresses(found) == ["127.0.0.1:1"], "and the next one counts again"


def test_a_compressed_answer(service: Origin) -> None:
    service.default = responds(200, gzip.compress(ONE), ("Content-Encoding", "gzip"))
    (found,) = answers(source(service), 1)
    assert addresses(found) == ["127.0.0.1:1"]


def test_nobody_listens() -> None:
    with Refusing() as nobody:
        pauses = Pauses()
        first, *_ = answers(source(nobody, pauses, every="1m"), 7)
        assert reason(first) == "Connection refused"
        assert pauses.taken == [1, 2, 5, 10, 30, 30]


def test_failures_are_not_followed_less_often_than_answers() -> None:
    with Refusing() as nobody:
        pauses = Pauses()
        answers(source(nobody, pauses, every="2s"), 5)
        assert pauses.taken == [1, 2, 2, 2]


def test_no_answer_in_time(service: Origin) -> None:
    waits = Waits()
    service.default = in_turn(waits, responds(200, ONE))
    failed, found = answers(source(service, timeout="200ms"), 2)
    assert reason(failed) == "no answer within 0.2 s"
    wait_for(waits.closed, "the connection to be closed")
    assert addresses(found) == ["127.0.0.1:1"]


def test_an_answer_that_comes_by_drops_is_not_waited_for(service: Origin) -> None:
    go = threading.Event()

    def drops(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not go.wait(0.05):
            exchange.send(b" ")

    service.default = drops
    (failed,) = answers(source(service, timeout="400ms"), 1)
    go.set()
    assert reason(failed) == "no answer within 0.4 s"


def test_servers_may_have_the_bound_of_all(service: Origin) -> None:
    service.default = responds(200, json.dumps(["a:1", {"address": "b:1", "max_connections": 3}]).encode())
    (found,) = answers(source(service, max_connections=9), 1)
    assert [server.max_connections for server in found.servers] == [9, 3]  # type: ignore[union-attr]
