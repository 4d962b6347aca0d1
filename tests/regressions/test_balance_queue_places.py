"""A place in a queue is for who waits: an answer that a client does not take keeps nobody else from a server."""

from h2.settings import SettingCodes

from tests.support.client import Client
from tests.support.fleet import addresses, fleet, with_gates
from tests.support.http2 import Http2Client
from tests.support.pools import pool, wait_waiting
from tests.support.proxy import Proxy, reverse


def test_a_client_that_does_not_read_its_503_holds_up_nobody() -> None:
    with fleet(1) as servers:
        (gate,) = with_gates(servers)
        queue = {"max": 100, "timeout": "2s"}
        config = reverse(addresses(servers, max_connections=1), pool={"queue": queue})
        # without a window nothing of the body can be sent
        no_room = {SettingCodes.INITIAL_WINDOW_SIZE: 0}
        with (
            Proxy(config) as proxy,
            Client(proxy.port) as first,
            Http2Client(proxy.port, tls=False, settings=no_room, greedy=False) as stingy,
            Client(proxy.port) as next_one,
        ):
            first.request("GET", "/first")
            gate.wait(1)
            stream = stingy.request("GET", "/stingy")
            wait_waiting(proxy, 1)
            assert stingy.head(stream).status == 503
            next_one.request("GET", "/next")
            gate.open()
            assert first.response().status == 200
            assert next_one.response().status == 200
            assert pool(proxy)["waiting"] == 0
