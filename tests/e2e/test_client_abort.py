"""A client that goes away takes its work upstream with it."""

import threading
from collections.abc import Iterator

import pytest

from tests.support.client import Client, connect, fetch
from tests.support.echo import Server
from tests.support.origin import Exchange, Origin, Waits
from tests.support.proxy import Proxy, forward, reverse
from tests.support.stream import Closed, Stream
from tests.support.wait import wait_for


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address], workers=1)) as proxy:
        yield proxy


def test_while_the_origin_thinks(proxy: Proxy, origin: Origin) -> None:
    waits = Waits()
    origin.on("/think", waits)
    client = Client(proxy.port)
    client.request("GET", "/think")
    origin.wait_for("/think")
    client.reset()
    wait_for(waits.closed, "the origin to lose its connection")
    record = proxy.record("/think")
    assert record["ending"] == "client_aborted"
    assert record["reason"] == "client_aborted"
    assert fetch(proxy.port, "/next").status == 200


def test_during_the_upload(proxy: Proxy, origin: Origin) -> None:
    """An orderly close in the middle of a body is an abort too: the rest can never come."""
    waits = Waits()
    origin.on("/upload", waits)
    client = Client(proxy.port)
    client.request("POST", "/upload", [("Content-Length", "100000")])
    client.send(b"x" * 1000)
    origin.wait_for("/upload")
    client.close()
    wait_for(waits.closed, "the origin to lose its connection")
    assert proxy.record("/upload")["ending"] == "client_aborted"


def test_a_chunked_upload_that_breaks_off_never_looks_whole(proxy: Proxy, origin: Origin) -> None:
    finished: list[bool] = []

    def reads(exchange: Exchange) -> None:
        try:
            exchange.read_body()
        finally:
            finished.append(exchange.request.complete)

    origin.on("/chunked-upload", reads)
    client = Client(proxy.port)
    client.request("POST", "/chunked-upload", [("Transfer-Encoding", "chunked")])
    client.send(b"5\r\nhello\r\n")
    serial = origin.wait_for("/chunked-upload").connection
    client.close()
    origin.wait_ended(serial)
    assert finished == [False]


def test_during_the_download(proxy: Proxy, origin: Origin) -> None:
    stopped = threading.Event()

    def pours(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                exchange.send(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        except OSError:
            stopped.set()
            raise

    origin.on("/pour", pours)
    client = Client(proxy.port)
    client.request("GET", "/pour")
    assert client.head().status == 200
    client.read_exactly(100_000)
    client.reset()
    wait_for(stopped, "the origin to be stopped")
    assert proxy.record("/pour")["ending"] == "client_aborted"


def test_others_on_the_worker_notice_nothing(proxy: Proxy, origin: Origin) -> None:
    waits = Waits()
    origin.on("/crowd", waits)
    clients = [Client(proxy.port) for _ in range(20)]
    for client in clients:
        client.request("GET", "/crowd")
    origin.wait_for("/crowd", 20)
    assert fetch(proxy.port, "/meanwhile").status == 200
    for client in clients:
        client.reset()
    for request in origin.seen("/crowd"):
        origin.wait_ended(request.connection)
    assert len(proxy.wait_records(lambda record: record.get("path") == "/crowd", 20)) == 20


def test_a_tunnel_whose_client_is_killed() -> None:
    gone = threading.Event()

    def listens(stream: Stream) -> None:
        try:
            while True:
                stream.read_some()
        except Closed:
            gone.set()
            raise

    with Server(listens) as server, Proxy(forward()) as proxy:
        client, response = connect(proxy.port, server.address)
        assert response.status == 200
        client.send(b"hello")
        client.reset()
        wait_for(gone, "the server to lose its connection")
        proxy.wait_records(lambda record: record.get("method") == "CONNECT")


def test_an_abandoned_request_is_not_retried(origin: Origin) -> None:
    spare = Origin("spare")
    waits = Waits()
    origin.on("/abandoned", waits)
    servers = [origin.address, {"address": spare.address, "backup": True}]
    with spare, Proxy(reverse(servers)) as proxy:
        client = Client(proxy.port)
        client.request("GET", "/abandoned")
        origin.wait_for("/abandoned")
        client.reset()
        wait_for(waits.closed, "the origin to lose its connection")
        assert proxy.record("/abandoned")["attempts"] == 1
        assert not spare.requests
