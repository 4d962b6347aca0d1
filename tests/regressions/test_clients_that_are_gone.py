"""A client that is gone must not keep upstream work alive until a timeout, whatever it did before it went."""

from collections.abc import Iterator

import pytest

from tests.support.client import Client, encode_request
from tests.support.origin import Origin, Waits
from tests.support.proxy import Proxy, reverse
from tests.support.wait import wait_for


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address], workers=1)) as proxy:
        yield proxy


def test_a_client_that_reset_after_it_had_half_closed(proxy: Proxy, origin: Origin) -> None:
    waits = Waits()
    origin.on("/half", waits)
    client = Client(proxy.port)
    client.request("GET", "/half")
    origin.wait_for("/half")
    client.half_close()
    # it may be looked for by interim responses from here on
    assert not waits.closed.is_set()
    client.reset()
    wait_for(waits.closed, "the origin to lose its connection")


def test_a_client_that_had_sent_more_than_a_buffer_ahead(proxy: Proxy, origin: Origin) -> None:
    waits = Waits()
    origin.on("/ahead", waits)
    client = Client(proxy.port)
    client.send(encode_request("GET", "/ahead") + encode_request("GET", "/behind") * 800)
    origin.wait_for("/ahead")
    client.reset()
    wait_for(waits.closed, "the origin to lose its connection")
