"""A connection that is to end takes no more requests, whatever its client does or leaves undone."""

from tests.support.frames import RawClient, request
from tests.support.origin import Origin, Waits
from tests.support.proxy import Proxy, reverse
from tests.support.stream import Closed

STREAMS = 60


def test_requests_of_a_connection_are_counted_to_the_end() -> None:
    """The client neither heeds GOAWAY nor acknowledges the PING behind it, and keeps one stream open."""
    with Origin() as origin:
        origin.on("/waits", Waits())
        config = reverse([origin.address], workers=1, listener={"limits": {"requests_per_connection": 3}})
        with Proxy(config) as proxy, RawClient(proxy.port) as client:
            client.acknowledge = False
            client.ask(1, request("/waits"))
            origin.wait_for("/waits")
            served = 0
            try:
                for stream in range(3, 3 + 2 * STREAMS, 2):
                    client.ask(stream, request(f"/more-{stream}"))
                    served += client.outcome(stream).what == "response"
            except (Closed, OSError):
                pass
    # a few may have been on their way
    assert served <= 10, f"{served} requests over a connection that may carry 3"
