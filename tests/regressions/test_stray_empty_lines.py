"""Old clients send CRLF behind a body (RFC 9112, section 2.2): it is not the beginning of a slow request."""

from tests.support.client import Client
from tests.support.origin import Origin
from tests.support.proxy import Proxy, reverse
from tests.support.wait import settled


def test_an_empty_line_behind_a_body_is_no_request() -> None:
    with Origin() as origin:
        config = reverse([origin.address], listener={"timeout": {"head": "300ms", "keep_alive": "60s"}})
        with Proxy(config) as proxy, Client(proxy.port) as client:
            client.request("POST", "/form", body=b"a=b")
            client.send(b"\r\n")
            assert client.response("POST").status == 200
            assert client.is_quiet(1.0), "an answer to a request that was never sent"
            assert client.ask("GET", "/next").status == 200
            assert settled(lambda: len(proxy.records())) == 2
