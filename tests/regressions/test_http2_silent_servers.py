"""HTTP/2 connections to servers that have nothing more to say are closed, and do not hold requests up."""

import socket
import threading

from tests.support.client import fetch
from tests.support.http2_origin import Exchange, Http2Origin
from tests.support.proxy import Proxy, reverse
from tests.support.stream import Stream
from tests.support.wait import until

POOL = {"protocol": "h2"}


class Listening:
    """Accepts connections; what happens on each is up to the test."""

    def __init__(self) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.sock.getsockname()[1]}"
        self.accepted: list[Stream] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            self.accepted.append(Stream(sock))


def test_a_connection_without_settings_is_closed() -> None:
    """The request is given up after the time for connecting, and so is the connection that was made for it."""
    server = Listening()
    config = reverse([server.address], pool=POOL, workers=1, timeout={"connect": "500ms"})
    with Proxy(config) as proxy:
        assert fetch(proxy.port, "/").status in (502, 504)
        until(lambda: server.accepted, "a connection")
        server.accepted[0].read_rest()
    server.sock.close()


def test_an_idle_connection_is_closed() -> None:
    pool = {**POOL, "keep_alive": {"idle": "1s"}}
    with Http2Origin() as origin, Proxy(reverse([origin.address], pool=pool, workers=1)) as proxy:
        assert fetch(proxy.port, "/").status == 200
        origin.wait_over(1)


def test_a_connection_of_a_pool_that_is_gone_is_closed() -> None:
    with Http2Origin() as origin, Proxy(reverse([origin.address], pool=POOL, workers=1)) as proxy:
        assert fetch(proxy.port, "/").status == 200
        proxy.config["reverse"]["pools"]["all"]["keep_alive"] = {"idle": "30s"}
        assert proxy.reload().returncode == 0
        origin.wait_over(1)


def test_a_connection_that_has_gone_silent_is_given_up() -> None:
    """A server hangs with the connection open: later requests get a new one."""
    over = threading.Event()

    def hangs(exchange: Exchange) -> None:
        # nothing is read or written on this connection meanwhile
        with exchange.state:
            over.wait(60)

    with Http2Origin() as origin:
        origin.on("/hangs", hangs)
        config = reverse([origin.address], pool=POOL, workers=1, timeout={"first_byte": "1s"})
        try:
            with Proxy(config) as proxy:
                assert fetch(proxy.port, "/").status == 200
                assert fetch(proxy.port, "/hangs").status == 504
                until(lambda: fetch(proxy.port, "/found").status == 200, "another connection", 8)
        finally:
            over.set()
