"""Bodies over HTTP/2: large ones, early answers, what breaks off, and who waits for whom."""

import threading
from collections.abc import Iterator

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from tests.support.http2 import Http2Client, Reset, fetch2
from tests.support.origin import Exchange, Origin, Waits, replies
from tests.support.proxy import Proxy, resident, reverse
from tests.support.tls import tls_listener
from tests.support.wait import settled, until, wait_for

BODY = bytes(range(256)) * 12_000


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        origin.on("/echo", lambda exchange: exchange.respond(200, exchange.read_body()))
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address], listener=tls_listener())) as proxy:
        yield proxy


def test_large_bodies_both_ways(proxy: Proxy, origin: Origin) -> None:
    response = fetch2(proxy.port, "/echo", method="POST", body=BODY)
    assert response.body == BODY
    assert origin.only("/echo").fields.get("Transfer-Encoding") == "chunked", "its length was not told"
    record = proxy.record("/echo")
    assert (record["request_body"], record["response_body"]) == (len(BODY), len(BODY))


def test_a_length_that_is_told_is_kept(proxy: Proxy, origin: Origin) -> None:
    origin.on("/told", lambda exchange: exchange.respond(200, exchange.read_body()))
    response = fetch2(proxy.port, "/told", [("content-length", str(len(BODY)))], method="PUT", body=BODY)
    assert response.fields.get("content-length") == str(len(BODY))
    assert origin.only("/told").fields.get("Content-Length") == str(len(BODY))


def test_a_request_without_a_body_has_no_framing(proxy: Proxy, origin: Origin) -> None:
    assert fetch2(proxy.port, "/bodiless").status == 200
    fields = origin.only("/bodiless").fields
    assert "Transfer-Encoding" not in fields
    assert fields.get("Content-Length") in (None, "0")


def test_a_post_without_a_body_says_so(proxy: Proxy, origin: Origin) -> None:
    """RFC 9110, section 8.6: servers answer 411 to a POST whose length is not known."""
    assert fetch2(proxy.port, "/empty-post", method="POST").status == 200
    request = origin.only("/empty-post")
    assert request.fields.get("Content-Length") == "0" or request.fields.get("Transfer-Encoding") == "chunked"
    assert request.body == b""


def test_many_bodies_at_the_same_time(proxy: Proxy, origin: Origin) -> None:
    origin.on("/together", lambda exchange: exchange.respond(200, exchange.read_body()))
    with Http2Client(proxy.port) as client:
        bodies = [bytes([i]) * 200_000 for i in range(10)]
        streams = [client.request("POST", "/together", end=False) for _ in bodies]
        for start in range(0, 200_000, 20_000):
            for stream, body in zip(streams, bodies, strict=True):
                client.send(stream, body[start : start + 20_000], end=start == 180_000)
        assert [client.response(stream).body for stream in streams] == bodies


def test_a_body_until_the_connections_end(proxy: Proxy, origin: Origin) -> None:
    origin.on("/until-close", replies(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\neverything", close=True))
    assert fetch2(proxy.port, "/until-close").text == "everything"


def test_the_client_sees_parts_as_they_come(proxy: Proxy, origin: Origin) -> None:
    steps = [threading.Event() for _ in range(3)]

    def drips(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for step in steps:
            wait_for(step, "the test's leave")
            exchange.send(b"4\r\npart\r\n")
        exchange.send(b"0\r\n\r\n")

    origin.on("/drips", drips)
    with Http2Client(proxy.port) as client:
        stream = client.request("GET", "/drips")
        assert client.head(stream).status == 200
        for step in steps:
            step.set()
            assert client.body(stream, 4) == b"part"
        assert client.response(stream).body == b""


def test_the_server_sees_parts_as_they_come(proxy: Proxy, origin: Origin) -> None:
    seen: list[bytes] = []

    def notes(exchange: Exchange) -> None:
        while part := exchange.read_chunk():
            seen.append(part)
        exchange.read_trailers()
        exchange.request.complete = True
        exchange.respond(200, b"done")

    origin.on("/parts", notes)
    with Http2Client(proxy.port) as client:
        stream = client.request("POST", "/parts", end=False)
        for number in range(1, 4):
            client.send(stream, b"part")
            until(lambda number=number: b"".join(seen) == b"part" * number, "the part at the server")  # type: ignore[misc]
        client.send(stream, end=True)
        assert client.response(stream).text == "done"


# -- flow control


def test_a_slow_reader_holds_up_its_server_and_no_memory(proxy: Proxy, origin: Origin) -> None:
    """The server stops when windows and buffers are full; the other streams go on."""
    sent = 0

    def pours(exchange: Exchange) -> None:
        nonlocal sent
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        for _ in range(2000):
            exchange.send(b"x" * 100_000)
            sent += 100_000

    origin.on("/pour", pours)
    before = resident(proxy)
    with Http2Client(proxy.port, greedy=False) as client:
        stream = client.request("GET", "/pour")
        client.until(lambda: len(client.replies[stream].body) == 65_535)
        held_up = settled(lambda: sent)
        assert held_up < 20_000_000
        assert resident(proxy) - before < 20_000_000
        client.connection.increment_flow_control_window(1_000_000)
        other = client.request("GET", "/beside")
        assert client.response(other).status == 200
        client.connection.increment_flow_control_window(1_000_000, stream)
        client._flush()
        client.until(lambda: len(client.replies[stream].body) > 500_000)
        client.reset(stream)
        until(lambda: origin.seen("/pour")[0].connection in origin.ended, "the server to be told")


def test_many_slow_readers(proxy: Proxy, origin: Origin) -> None:
    """What waits for clients is bounded for each stream."""

    def pours(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1000):
            exchange.send(b"x" * 100_000)

    origin.on("/pour-many", pours)
    before = resident(proxy)
    settings = {SettingCodes.INITIAL_WINDOW_SIZE: 1000}
    with Http2Client(proxy.port, greedy=False, settings=settings) as client:
        streams = [client.request("GET", "/pour-many") for _ in range(50)]
        client.until(lambda: all(len(client.replies[stream].body) == 1000 for stream in streams))
        settled(lambda: resident(proxy) // 1_000_000)
        assert resident(proxy) - before < 50_000_000


def test_a_slow_server_holds_up_its_client(proxy: Proxy, origin: Origin) -> None:
    """Room for request bodies is given back as the server takes them, and not before."""
    go = threading.Event()

    def takes_late(exchange: Exchange) -> None:
        wait_for(go, "the test's leave", 60)
        exchange.respond(200, b"%d" % len(exchange.read_body()))

    origin.on("/takes-late", takes_late)
    with Http2Client(proxy.port) as client:
        stream = client.request("POST", "/takes-late", end=False)
        client.greeted()
        sent, size = 0, 30_000_000
        client.settimeout(0.5)
        try:
            while sent < size:
                client.send(stream, b"x" * 10_000)
                sent += 10_000
        except TimeoutError:
            pass
        finally:
            client.settimeout()
        assert sent < size, "the client may pour without end"
        assert fetch2(proxy.port, "/meanwhile").status == 200
        go.set()
        # what was being sent when the room was used up is not known to the byte: the rest ends it
        client.send(stream, b"x" * 100_000, end=True)
        assert int(client.response(stream).text) >= sent


# -- early answers and what breaks off


def test_an_early_answer_stops_the_upload(proxy: Proxy, origin: Origin) -> None:
    """RFC 9113, section 8.1: a whole response, then RST_STREAM with NO_ERROR; nothing is lost."""

    def early(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 403 No\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope")
        exchange.read_rest()

    origin.on("/early", early)
    with Http2Client(proxy.port) as client:
        stream = client.request("POST", "/early", end=False)
        client.send(stream, b"x" * 10_000)
        response = client.response(stream)
        assert (response.status, response.text) == (403, "nope")
        client.until(lambda: client.replies[stream].reset is not None)
        assert client.replies[stream].reset == ErrorCodes.NO_ERROR
        assert client.ask("GET", "/after-early").status == 200


def test_a_body_too_large(origin: Origin) -> None:
    config = reverse([origin.address], listener=tls_listener(), limits={"body": "10KiB"})
    with Proxy(config) as proxy, Http2Client(proxy.port) as client:
        told = client.request("POST", "/big", [("content-length", "20000")], end=False)
        assert client.response(told).status == 413
        untold = client.request("POST", "/big-untold", end=False)
        client.send(untold, b"x" * 15_000)
        assert client.response(untold).status == 413
        assert client.ask("POST", "/fits", body=b"x" * 10_000).status == 200
    assert not origin.seen("/big")
    assert not any(request.complete for request in origin.seen("/big-untold"))


def test_a_response_that_breaks_off(proxy: Proxy, origin: Origin) -> None:
    origin.on("/breaks", replies(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart", close=True))
    with Http2Client(proxy.port) as client:
        stream = client.request("GET", "/breaks")
        with pytest.raises(Reset):
            client.response(stream)
        assert b"part".startswith(client.replies[stream].body)
        assert client.ask("GET", "/after-breaks").status == 200
    record = proxy.record("/breaks")
    assert (record["reason"], record["ending"]) == ("response_incomplete", "upstream_aborted")


@pytest.mark.parametrize("when", ["before the head", "within the body"])
def test_a_reset_by_the_client_ends_the_work(proxy: Proxy, origin: Origin, when: str) -> None:
    path = f"/cancelled-{when.replace(' ', '-')}"

    def begins(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart")
        Waits()(exchange)

    origin.on(path, Waits() if when == "before the head" else begins)
    with Http2Client(proxy.port) as client:
        stream = client.request("GET", path)
        request = origin.wait_for(path)
        if when == "within the body":
            assert client.body(stream, 4) == b"part"
        client.reset(stream)
        origin.wait_ended(request.connection)
        assert client.ask("GET", "/after-cancel").status == 200
        record = proxy.record(path)
        assert (record["reason"], record["ending"]) == ("client_aborted", "client_aborted")


def test_an_upload_that_the_client_resets(proxy: Proxy, origin: Origin) -> None:
    with Http2Client(proxy.port) as client:
        stream = client.request("POST", "/cancelled-upload", end=False)
        client.send(stream, b"x" * 1000)
        request = origin.wait_for("/cancelled-upload")
        client.reset(stream)
        origin.wait_ended(request.connection)
        assert not request.complete, "a body that broke off does not look whole"
        assert proxy.record("/cancelled-upload")["ending"] == "client_aborted"


def test_a_client_that_goes_ends_all_its_streams(proxy: Proxy, origin: Origin) -> None:
    waits = Waits()
    origin.on("/gone", waits)
    client = Http2Client(proxy.port)
    for _ in range(5):
        client.request("GET", "/gone")
    origin.wait_for("/gone", 5)
    client.stream.cut()
    for request in origin.seen("/gone"):
        origin.wait_ended(request.connection)
    records = proxy.wait_records(lambda record: record.get("path") == "/gone", 5)
    assert {record["ending"] for record in records} == {"client_aborted"}


def test_a_slow_body_is_408(origin: Origin) -> None:
    with Proxy(reverse([origin.address], listener=tls_listener(), timeout={"body": "300ms"})) as proxy:
        with Http2Client(proxy.port) as client:
            stream = client.request("POST", "/slow-body", [("content-length", "10")], end=False)
            client.send(stream, b"abc")
            assert client.response(stream).status == 408
            assert client.ask("GET", "/after-slow").status == 200, "the connection is no worse for it"
        assert proxy.record("/slow-body")["reason"] == "body_timeout"
