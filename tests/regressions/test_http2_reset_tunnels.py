"""A tunnel over HTTP/2 ends with its stream, also one whose client had ended its own side before."""

import threading

from tests.support.frames import RawClient, block, data, headers, rst_stream
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, forward
from tests.support.stream import Closed
from tests.support.wait import wait_for


def test_a_reset_ends_a_half_closed_tunnel() -> None:
    halved, over = threading.Event(), threading.Event()

    def silent(exchange: Exchange) -> None:
        try:
            while True:
                exchange.read_some()
        except Closed:
            halved.set()
        # it keeps its own side open
        over.wait(60)

    with Origin() as origin:
        origin.begin = silent  # type: ignore[method-assign]
        with Proxy(forward()) as proxy, RawClient(proxy.port) as client:
            client.send(headers(1, block([(":method", "CONNECT"), (":authority", origin.address)]), end=False))
            client.until(lambda read: read.stream_id == 1)
            client.send(data(1, b"x", end=True))
            wait_for(halved, "the end of the client's side")
            client.send(rst_stream(1))
            try:
                (record,) = proxy.wait_records(lambda record: record["method"] == "CONNECT")
            finally:
                over.set()
            assert record["ending"] == "client_aborted"
