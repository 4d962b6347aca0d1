"""Interim responses (RFC 9110, section 15.2): all of them reach the client, in order, at once."""

import threading
from collections.abc import Iterator

import pytest

from tests.support.client import Client, fetch
from tests.support.origin import Exchange, Origin, replies
from tests.support.proxy import Proxy, reverse
from tests.support.wait import wait_for

HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n"
FINAL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address])) as proxy:
        yield proxy


def test_a_hint_comes_before_the_answer_is_there(proxy: Proxy, origin: Origin) -> None:
    go = threading.Event()

    def hinting(exchange: Exchange) -> None:
        exchange.send(HINT)
        wait_for(go, "the test's leave")
        exchange.send(FINAL)

    origin.on("/hint", hinting)
    with Client(proxy.port) as client:
        client.request("GET", "/hint")
        hint = client.head()
        assert (hint.status, hint.fields.get("Link")) == (103, "</a.css>; rel=preload")
        assert "X-Hop" not in hint.fields
        go.set()
        assert client.response().text == "done"
        assert client.ask("GET", "/next").status == 200


def test_several_kinds_in_order(proxy: Proxy, origin: Origin) -> None:
    origin.on("/several", replies(b"HTTP/1.1 102 Processing\r\n\r\n" + HINT + HINT + FINAL))
    response = fetch(proxy.port, "/several")
    assert [status for status, _ in response.interim] == [102, 103, 103]
    assert response.text == "done"


def test_the_interim_bytes_arriving_in_pieces(proxy: Proxy, origin: Origin) -> None:
    def drip(exchange: Exchange) -> None:
        for byte in HINT + FINAL:
            exchange.send(bytes([byte]))

    origin.on("/drip", drip)
    response = fetch(proxy.port, "/drip")
    assert ([status for status, _ in response.interim], response.text) == ([103], "done")


def test_none_for_a_client_of_http10(proxy: Proxy, origin: Origin) -> None:
    origin.on("/old", replies(HINT + FINAL))
    with Client(proxy.port) as client:
        client.send(b"GET /old HTTP/1.0\r\nHost: t\r\n\r\n")
        response = client.response()
        assert (response.interim, response.text) == ([], "done")


def test_one_record_with_the_final_status(proxy: Proxy, origin: Origin) -> None:
    origin.on("/recorded", replies(HINT + FINAL))
    fetch(proxy.port, "/recorded")
    assert proxy.record("/recorded")["status"] == 200


def test_hints_without_end_are_not_suffered(proxy: Proxy, origin: Origin) -> None:
    """An origin that only ever hints is cut off or at least does not starve others."""
    stop = threading.Event()

    def endless(exchange: Exchange) -> None:
        while not stop.is_set():
            exchange.send(HINT)

    origin.on("/endless", endless)
    with Client(proxy.port) as client:
        client.request("GET", "/endless")
        assert client.head().status == 103
        assert fetch(proxy.port, "/meanwhile").status == 200
    stop.set()
    origin.wait_ended(origin.only("/endless").connection)
