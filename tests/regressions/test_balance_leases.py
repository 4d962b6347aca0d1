"""A request counts at a server as long as the server has something to do with it."""

from tests.support.cache import route
from tests.support.client import Client, fetch
from tests.support.origin import Exchange, Origin
from tests.support.pools import pool
from tests.support.proxy import Config, Proxy, reverse

QUEUE = {"queue": {"max": 10, "timeout": "2s"}}


def one_at_a_time(origin: Origin, **cache: object) -> Config:
    return reverse([{"address": origin.address, "max_connections": 1}], routes=[route(**cache)], pool=QUEUE)


def test_a_request_that_goes_out_again_does_not_wait_for_itself() -> None:
    """The piece that was asked for may not be stored, so that the whole is asked for."""

    def answer(exchange: Exchange) -> None:
        exchange.read_body()
        if exchange.request.fields.get("Range") is None:
            exchange.respond(200, b"0123456789", ("Cache-Control", "no-store"))
        else:
            head = b"HTTP/1.1 206 Partial\r\nCache-Control: no-store\r\nContent-Range: bytes 0-9/10\r\n"
            exchange.send(head + b"Content-Length: 10\r\n\r\n0123456789")

    with Origin(handler=answer) as origin, Proxy(one_at_a_time(origin, slice="1MiB")) as proxy:
        response = fetch(proxy.port, "/x")
        assert (response.status, response.body) == (200, b"0123456789")


def test_what_is_stored_takes_no_room_at_the_server() -> None:
    """A 304 has come, and all that is left is to bring what is stored to a client that is slow."""

    def answer(exchange: Exchange) -> None:
        exchange.read_body()
        fields = ("ETag", '"a"'), ("Cache-Control", "no-cache")
        if exchange.request.fields.get("If-None-Match") is not None:
            exchange.respond(304, b"", *fields)
        else:
            exchange.respond(200, bytes(20_000_000), *fields)

    with Origin(handler=answer) as origin, Proxy(one_at_a_time(origin)) as proxy, Client(proxy.port) as slow:
        assert len(fetch(proxy.port, "/big").body) == 20_000_000
        slow.request("GET", "/big")
        slow.read_head()
        assert len(origin.requests) == 2, "it is validated"
        assert pool(proxy)["servers"][0]["in_flight"] == 0
        assert fetch(proxy.port, "/other", method="HEAD").status == 200
