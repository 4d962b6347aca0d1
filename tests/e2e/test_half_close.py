"""One side has said all it will say, and still listens."""

import hashlib

import pytest

from tests.support.client import Client, connect
from tests.support.echo import Server
from tests.support.origin import Origin
from tests.support.proxy import Proxy, forward, reverse
from tests.support.stream import Stream

BLOCK = hashlib.shake_128(b"tunnel").digest(4_000_000)


def digest_at_end(stream: Stream) -> None:
    """Answers only when it has everything: a proxy that closes both ways at once never hears it."""
    stream.send(hashlib.sha256(stream.read_rest()).hexdigest().encode())


def test_a_tunnel_half_closed_by_its_client() -> None:
    with Server(digest_at_end) as server, Proxy(forward()) as proxy:
        client, response = connect(proxy.port, server.address)
        with client:
            assert response.status == 200
            client.send(BLOCK)
            client.half_close()
            assert client.read_rest().decode() == hashlib.sha256(BLOCK).hexdigest()
        record = proxy.wait_records(lambda record: record.get("method") == "CONNECT")[0]
        assert record["ending"] == "complete"


def test_a_tunnel_half_closed_by_its_server() -> None:
    received: list[bytes] = []

    def says_and_listens(stream: Stream) -> None:
        stream.send(b"all I have to say")
        stream.half_close()
        received.append(stream.read_rest())

    with Server(says_and_listens) as server, Proxy(forward()) as proxy:
        client, _ = connect(proxy.port, server.address)
        with client:
            assert client.read_rest() == b"all I have to say"
            client.send(BLOCK)
            client.half_close()
            proxy.wait_records(lambda record: record.get("method") == "CONNECT")
    assert received == [BLOCK]


@pytest.mark.parametrize("fields", [[], [("Connection", "close")]])
def test_a_request_whose_client_half_closes_is_answered(fields: list[tuple[str, str]]) -> None:
    with Origin() as origin, Proxy(reverse([origin.address])) as proxy, Client(proxy.port) as client:
        client.request("POST", "/half", fields, b"body")
        client.half_close()
        assert client.response().text == "origin POST /half"
        client.expect_closed()
        assert origin.only("/half").body == b"body"


def test_pipelined_requests_before_a_half_close_are_all_answered() -> None:
    with Origin() as origin, Proxy(reverse([origin.address])) as proxy, Client(proxy.port) as client:
        for i in range(3):
            client.request("GET", f"/{i}")
        client.half_close()
        assert [client.response().text for _ in range(3)] == [f"origin GET /{i}" for i in range(3)]
        client.expect_closed()


def test_a_half_close_in_the_middle_of_a_head_is_the_end() -> None:
    with Origin() as origin, Proxy(reverse([origin.address])) as proxy:
        with Client(proxy.port) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: t\r\n")
            client.half_close()
            assert client.read_rest()[:12] in (b"", b"HTTP/1.1 400")
        with Client(proxy.port) as client:
            client.half_close()
            client.expect_closed()
        assert not origin.requests
