"""What a second try was waited for is not the second server's latency."""

import threading

from tests.support.client import fetch
from tests.support.origin import Exchange, Origin
from tests.support.pools import server
from tests.support.proxy import Proxy, reverse
from tests.support.wait import wait_for


def test_the_second_server_is_as_fast_as_it_was() -> None:
    """Else those who balance or eject by latency take the fast one for slow, and know nothing of the slow one."""
    rest = threading.Event()

    def slow(exchange: Exchange) -> None:
        wait_for(rest, "the test")
        exchange.respond(200, b"slow")

    with Origin("slow", slow) as first, Origin("fast") as second:
        routes = [{"name": "all", "match": {"path": "/*"}, "pool": "all", "hedge": "2s"}]
        config = reverse([first.address, second.address], routes=routes, pool={"balance": "first"})
        try:
            with Proxy(config) as proxy:
                assert fetch(proxy.port, "/").fields.get("X-Origin") == "fast"
                assert server(proxy, second.address)["latency_ms"] < 2000
        finally:
            rest.set()
