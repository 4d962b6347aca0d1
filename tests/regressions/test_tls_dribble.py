"""A TLS record that never becomes whole is no sign of life: the connection ends as one that says nothing does."""

import contextlib

from tests.support.client import Client
from tests.support.proxy import Proxy, reverse
from tests.support.stream import Closed
from tests.support.tls import BareTls, tls_listener

ROUTES = [{"name": "all", "match": {"path": "/*"}, "respond": {"status": 204}}]


def test_bytes_of_a_record_do_not_begin_the_time_for_a_head_anew() -> None:
    config = reverse(routes=ROUTES, listener=tls_listener(), timeout={"head": "2s", "keep_alive": "2s"}, workers=1)
    with Proxy(config) as proxy, Client(proxy.port) as client:
        tls = BareTls()
        tls.handshake(client)
        record = tls.seal(b"GET / HTTP/1.1\r\nHost: test.example\r\n\r\n")
        client.sock.settimeout(0.5)
        sent = 0
        with contextlib.suppress(Closed, OSError):
            for byte in record[:20]:
                client.send(bytes([byte]))
                sent += 1
                with contextlib.suppress(TimeoutError):
                    # tickets, or the end
                    client.read_some()
        assert sent < 20, f"open for {sent / 2:g} seconds, with 2 s for a head"
