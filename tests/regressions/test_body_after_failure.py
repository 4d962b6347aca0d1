"""An answer of the proxy's own must not make it lose its place in the client's stream.

What an exchange with an upstream has taken of a request body is gone from the stream. An error answer that
keeps the connection open must go on behind it, or close: else bytes of the next request are taken for the
body (or the rest of the body for a request), which is request smuggling.
"""

from collections.abc import Iterator

import pytest

from tests.support.client import Client, chunked, encode_request
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, reverse
from tests.support.stream import Closed


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    routes = [{"name": "all", "match": {"path": "/*"}, "pool": "all", "timeout": {"first_byte": "300ms"}}]
    with Proxy(reverse([origin.address], routes=routes)) as proxy:
        yield proxy


def dies(exchange: Exchange) -> None:
    """Takes the whole request and breaks the connection."""
    exchange.read_body()
    exchange.reset()


def hangs(exchange: Exchange) -> None:
    """Takes the whole request and never answers."""
    exchange.read_body()
    exchange.read_rest()


def babbles(exchange: Exchange) -> None:
    """Takes the whole request and answers something that is not HTTP."""
    exchange.read_body()
    exchange.send(b"SSH-2.0-OpenSSH\r\n\r\n")
    exchange.read_rest()


def goes_on_or_closes(client: Client, path: str) -> None:
    """The connection carries exactly the next request, or it is over: never anything else."""
    try:
        client.request("GET", path)
        response = client.response()
    except (Closed, ConnectionError):
        return
    assert (response.status, response.text) == (200, f"origin GET {path}")


@pytest.mark.parametrize(
    ("name", "handler", "status"), [("dies", dies, 502), ("hangs", hangs, 504), ("babbles", babbles, 502)]
)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_was_sent_is_not_awaited_again(
    proxy: Proxy, origin: Origin, name: str, handler: object, status: int, framing: str
) -> None:
    path = f"/{name}-{framing}"
    origin.on(path, handler)  # type: ignore[arg-type]
    body = b"0123456789"
    with Client(proxy.port) as client:
        if framing == "length":
            client.request("POST", path, body=body)
        else:
            client.send(encode_request("POST", path, [("Transfer-Encoding", "chunked")]) + chunked(body))
        assert client.response("POST").status == status
        goes_on_or_closes(client, f"{path}-next")


def test_a_large_body_that_was_sent_is_not_awaited_again(proxy: Proxy, origin: Origin) -> None:
    origin.on("/large", dies)
    with Client(proxy.port) as client:
        client.request("POST", "/large", body=b"x" * 100_000)
        assert client.response("POST").status == 502
        goes_on_or_closes(client, "/large-next")


def test_a_request_behind_a_failed_one_is_not_cut(proxy: Proxy, origin: Origin) -> None:
    """Pipelined: the second request starts where the body of the first one ended."""
    origin.on("/first", hangs)
    hidden = encode_request("GET", "/hidden")
    body = b"x" * len(encode_request("PUT", "/cover", body=hidden)[: -len(hidden)])
    with Client(proxy.port) as client:
        client.send(
            encode_request("POST", "/first", body=body)
            + encode_request("PUT", "/cover", body=hidden)
            + encode_request("GET", "/last", [("Connection", "close")])
        )
        assert client.response("POST").status == 504
        client.read_rest()
    assert not origin.seen("/hidden"), "the body of one request was carried out as a request"
