"""Bounds on what one client may send, hold open and wait for."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.client import Client, chunked, encode_request, fetch
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, reverse
from tests.support.wait import until, wait_for

Limited = Callable[..., Proxy]


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture
def limited(origin: Origin) -> Iterator[Limited]:
    """Starts proxies with limits; they end with the test."""
    running: list[Proxy] = []

    def start(**top: Any) -> Proxy:
        running.append(Proxy(reverse([origin.address], **top)))
        return running[-1]

    yield start
    for proxy in running:
        with proxy:
            pass


def test_a_slow_head_is_408(limited: Limited, origin: Origin) -> None:
    proxy = limited(timeout={"head": "300ms"})
    with Client(proxy.port) as client:
        client.send(b"GET /slow-head HTTP/1.1\r\nHost: t\r\n")
        response = client.response()
        assert response.status == 408
        assert "error=http_request_error" in (response.fields.get("Proxy-Status") or "")
        client.expect_closed()
    assert proxy.wait_records(lambda record: record["reason"] == "head_timeout" and record.get("status") == 408)


def test_a_head_that_trickles_is_408_too(limited: Limited) -> None:
    """The time is for the whole head: a byte now and then does not extend it."""
    proxy = limited(timeout={"head": "500ms"})
    with Client(proxy.port) as client:
        stop = threading.Event()

        def trickle() -> None:
            try:
                client.send(b"GET / HTTP/1.1\r\n")
                while not stop.wait(0.05):
                    client.send(b"X: y\r\n")
            except OSError:
                pass

        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        assert client.response().status == 408
        stop.set()
        thread.join(15)


def test_a_slow_body_is_408(limited: Limited, origin: Origin) -> None:
    proxy = limited(timeout={"body": "300ms"})
    with Client(proxy.port) as client:
        client.request("POST", "/slow-body", [("Content-Length", "10")])
        client.send(b"abc")
        assert client.response().status == 408
        client.expect_closed()
    origin.wait_ended(origin.wait_for("/slow-body").connection)
    assert proxy.record("/slow-body")["reason"] == "body_timeout"


def test_an_idle_connection_is_closed_without_a_word(limited: Limited) -> None:
    proxy = limited(timeout={"keep_alive": "300ms"})
    with Client(proxy.port) as client:
        assert client.ask("GET", "/idle").status == 200
        client.expect_closed()
    assert len(proxy.wait_records(lambda record: True)) == 1, "an idle close is no request"


def test_a_connection_that_never_asks_is_closed(limited: Limited) -> None:
    proxy = limited(timeout={"keep_alive": "300ms", "head": "300ms"})
    with Client(proxy.port) as client:
        rest = client.read_rest()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 408")


def test_a_client_that_takes_nothing_is_cut_off(limited: Limited, origin: Origin) -> None:
    def pours(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(100):
            exchange.send(b"x" * 1_000_000)

    origin.on("/pour", pours)
    proxy = limited(timeout={"body": "500ms"})
    with Client(proxy.port) as client:
        client.request("GET", "/pour")
        origin.wait_ended(origin.wait_for("/pour").connection)
        record = proxy.record("/pour")
        assert record["reason"] == "slow_client"
        assert record["ending"] in ("expired", "client_aborted")


def test_slow_but_moving_is_not_cut_off(limited: Limited, origin: Origin) -> None:
    """`idle` and `body` are between two parts, not for the whole."""
    parts = 8
    step = [threading.Event() for _ in range(parts)]

    def drips(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for event in step:
            event.wait(0.15)
            exchange.send(b"1\r\nx\r\n")
        exchange.send(b"0\r\n\r\n")

    origin.on("/drips", drips)
    routes = [{"name": "all", "match": {"path": "/*"}, "pool": "all", "timeout": {"idle": "600ms"}}]
    proxy = limited(routes=routes)
    assert fetch(proxy.port, "/drips").body == b"x" * parts


def test_head_size(limited: Limited) -> None:
    proxy = limited(limits={"head": "4KiB"})
    assert fetch(proxy.port, "/ok", [("X", "a" * 3000)]).status == 200
    with Client(proxy.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: t\r\nX: " + b"a" * 5000)
        assert client.response().status == 431, "without waiting for a head that never ends"
        client.expect_closed()


def test_target_size(limited: Limited) -> None:
    proxy = limited(limits={"target": "1KiB"})
    assert fetch(proxy.port, "/" + "a" * 1000).status == 200
    assert fetch(proxy.port, "/" + "a" * 1024).status == 414
    with Client(proxy.port) as client:
        client.send(b"GET /" + b"a" * 2000)
        assert client.response().status == 414, "without waiting for the line's end"


def test_number_of_fields(limited: Limited) -> None:
    proxy = limited(limits={"fields": 20})
    assert fetch(proxy.port, "/", [(f"X-{i}", "a") for i in range(19)]).status == 200
    assert fetch(proxy.port, "/", [(f"X-{i}", "a") for i in range(20)]).status == 431


def test_number_of_trailer_fields(limited: Limited, origin: Origin) -> None:
    proxy = limited(limits={"fields": 20})
    with Client(proxy.port) as client:
        client.request("POST", "/trailers", [("Transfer-Encoding", "chunked")])
        client.send(chunked(b"abc", trailers=[(f"X-{i}", "a") for i in range(50)]))
        assert client.response().status in (400, 431)
        client.expect_closed()
    assert not any(request.complete for request in origin.seen("/trailers"))


def test_body_size(limited: Limited, origin: Origin) -> None:
    proxy = limited(limits={"body": "10KiB"})
    assert fetch(proxy.port, "/fits", method="POST", body=b"x" * 10_240).status == 200
    assert fetch(proxy.port, "/big", method="POST", body=b"x" * 10_241).status == 413
    assert not origin.seen("/big")
    with Client(proxy.port) as client:
        client.request("POST", "/big-chunked", [("Transfer-Encoding", "chunked")])
        client.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        origin.wait_for("/big-chunked")
        client.send(b"2000\r\n" + b"x" * 8192)
        assert client.response().status == 413, "as soon as it is too much, not when the chunk has ended"
        client.expect_closed()
    assert not any(request.complete for request in origin.seen("/big-chunked"))


def test_requests_on_one_connection(limited: Limited) -> None:
    proxy = limited(limits={"requests_per_connection": 3})
    with Client(proxy.port) as client:
        for i in range(3):
            response = client.ask("GET", f"/{i}")
            assert response.status == 200
        assert (response.fields.get("Connection") or "").lower() == "close", "the last answer says that it is the last"
        client.expect_closed()


def test_requests_on_one_connection_when_pipelined(limited: Limited) -> None:
    proxy = limited(limits={"requests_per_connection": 3})
    with Client(proxy.port) as client:
        client.send(b"".join(encode_request("GET", f"/piped/{i}") for i in range(5)))
        for _ in range(3):
            assert client.response().status == 200
        client.expect_closed()


def test_connections_at_one_time(limited: Limited, origin: Origin) -> None:
    """More than are allowed wait (or are refused); each that ends makes room for one."""
    proxy = limited(limits={"connections": 4})
    clients = [Client(proxy.port) for _ in range(4)]
    for client in clients:
        until(lambda client=client: asks(client), "a place")  # type: ignore[misc]
    extras = [Client(proxy.port) for _ in range(4)]
    for extra in extras:
        extra.request("GET", "/too-many")
    for extra in extras:
        assert extra.is_quiet(0.2), "served although no place is free"
    assert not origin.seen("/too-many")
    for client in clients:
        client.close()
    for extra in extras:
        assert extra.response().status == 200
        extra.close()


def asks(client: Client) -> bool:
    return client.ask("GET", "/in").status == 200


def test_limits_of_a_listener_override(origin: Origin) -> None:
    listener = {"limits": {"target": "100"}, "timeout": {"head": "300ms"}}
    config = reverse([origin.address], listener=listener, limits={"target": "4KiB"})
    with Proxy(config) as proxy:
        assert fetch(proxy.port, "/" + "a" * 200).status == 414
        with Client(proxy.port) as client:
            client.send(b"GET")
            assert client.response().status == 408


def test_a_slow_client_does_not_hold_up_others(limited: Limited) -> None:
    proxy = limited(workers=1)
    slow = [Client(proxy.port) for _ in range(50)]
    for client in slow:
        client.send(b"GET / HTTP/1.1\r\nHo")
    assert fetch(proxy.port, "/quick").status == 200
    for client in slow:
        client.send(b"st: t\r\n\r\n")
    assert [client.response().status for client in slow] == [200] * 50
    for client in slow:
        client.close()


def test_the_connect_timeout(limited: Limited) -> None:
    """A server whose queue of connections is full neither accepts nor refuses."""
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        address = f"127.0.0.1:{full.getsockname()[1]}"
        routes = [{"name": "all", "match": {"path": "/*"}, "pool": "full", "timeout": {"connect": "300ms"}}]
        proxy = limited(routes=routes, pools={"full": {"servers": [address]}})
        response = fetch(proxy.port, "/")
        assert response.status == 504
        assert "error=connection_timeout" in (response.fields.get("Proxy-Status") or "")


def test_a_long_upload_does_not_use_up_the_wait_for_the_answer(limited: Limited, origin: Origin) -> None:
    """`first_byte` counts from the end of the request."""
    started = threading.Event()

    def answers_late(exchange: Exchange) -> None:
        started.set()
        exchange.respond(200, b"%d" % len(exchange.read_body()))

    origin.on("/long-upload", answers_late)
    routes = [{"name": "all", "match": {"path": "/*"}, "pool": "all", "timeout": {"first_byte": "400ms"}}]
    proxy = limited(routes=routes)
    with Client(proxy.port) as client:
        client.request("POST", "/long-upload", [("Content-Length", "6")])
        wait_for(started, "the head at the origin")
        pause = threading.Event()
        for i in range(6):
            client.send(b"%d" % i)
            pause.wait(0.15)
        assert client.response().text == "6"
