"""A stream whose client has given it up ends, also while the server takes nothing of its body."""

import threading

from tests.support.frames import RawClient, block, data, headers, request, rst_stream
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, reverse
from tests.support.wait import settled, wait_for

FRAME = b"x" * 16_000


def test_a_reset_ends_an_upload_that_is_stuck() -> None:
    over = threading.Event()
    listener = {"limits": {"stream_window": "16MiB"}}

    def takes_nothing(exchange: Exchange) -> None:
        wait_for(over, "the end of the test", 60)

    with Origin() as origin:
        origin.on("/stuck", takes_nothing)
        with Proxy(reverse([origin.address], workers=1, listener=listener)) as proxy, RawClient(proxy.port) as client:
            client.send(headers(1, block(request("/stuck", method="POST")), end=False))
            for _ in range(700):
                client.send(data(1, FRAME))
            origin.wait_for("/stuck")
            assert client.alive()
            # the way to the server is full
            settled(lambda: len(client.seen))
            client.send(rst_stream(1))
            assert proxy.record("/stuck")["ending"] == "client_aborted"
            over.set()
