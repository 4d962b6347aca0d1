"""Once a reload demands certificates, nobody is served without one, on whatever connection."""

import pytest

from tests.support.frames import Frames, RawClient
from tests.support.proxy import Proxy, reverse
from tests.support.stream import Closed
from tests.support.tls import TlsClient, authority, tls_listener

ROUTES = [{"name": "all", "match": {"path": "/*"}, "respond": {"status": 204}}]


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
def test_connections_of_before_are_not_served_without_one(version: str) -> None:
    with Proxy(reverse(routes=ROUTES, listener=tls_listener())) as proxy:
        client = TlsClient(proxy.port) if version == "HTTP/1.1" else RawClient(proxy.port, tls=True)
        with client:
            assert status(client, 1) == 204
            proxy.config["listeners"]["web"]["tls"]["client_ca"] = str(authority().file)
            assert proxy.reload().returncode == 0
            assert status(client, 3) != 204


def status(client: TlsClient | Frames, stream: int) -> int:
    """0 where there is no answer."""
    try:
        if isinstance(client, Frames):
            client.ask(stream)
            outcome = client.outcome(stream)
            return outcome.response.status if outcome.response else 0
        return client.ask().status
    except (Closed, OSError):
        return 0
