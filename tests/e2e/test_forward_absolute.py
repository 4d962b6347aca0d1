"""Absolute-form requests through the forward listener (RFC 9112, section 3.2.2)."""

from collections.abc import Iterator

import pytest

from tests.support.client import Client, absolute, chunked, fetch
from tests.support.names import NameServer
from tests.support.origin import Origin, Refusing
from tests.support.proxy import Proxy, forward


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    with NameServer() as names:
        names.set("origin.test", "127.0.0.1")
        yield names


@pytest.fixture(scope="module")
def proxy(names: NameServer) -> Iterator[Proxy]:
    with Proxy(forward(top={"resolver": names.config})) as proxy:
        yield proxy


def test_the_targets_authority_is_the_host(proxy: Proxy, origin: Origin) -> None:
    with Client(proxy.port) as client:
        response = client.ask("GET", f"http://{origin.address}/abs?x=1", host="wrong.example")
        assert response.text == "origin GET /abs?x=1"
    assert origin.only("/abs").fields.get("Host") == origin.address


def test_by_name(proxy: Proxy, origin: Origin) -> None:
    assert absolute(proxy.port, f"http://Origin.Test:{origin.port}/named").text == "origin GET /named"
    assert (origin.only("/named").fields.get("Host") or "").lower() == f"origin.test:{origin.port}"


def test_a_url_without_a_path(proxy: Proxy, origin: Origin) -> None:
    before = len(origin.seen("/"))
    assert absolute(proxy.port, f"http://{origin.address}").text == "origin GET /"
    assert absolute(proxy.port, f"http://{origin.address}?a=b").text == "origin GET /?a=b"
    assert len(origin.seen("/")) == before + 2


def test_options_for_the_whole_server(proxy: Proxy, origin: Origin) -> None:
    """RFC 9112, section 3.2.4: without path and query it becomes the asterisk-form."""
    assert absolute(proxy.port, f"http://{origin.address}", method="OPTIONS").text == "origin OPTIONS *"


def test_several_origins_over_one_connection(proxy: Proxy, origin: Origin) -> None:
    with Origin("other") as other, Client(proxy.port) as client:
        for server in (origin, other, origin, other):
            response = client.ask("GET", f"http://{server.address}/several", host=server.address)
            assert response.text == f"{server.name} GET /several"


def test_connections_to_an_origin_are_kept(origin: Origin) -> None:
    with Origin() as quiet, Proxy(forward(top={"workers": 1})) as proxy:
        for i in range(10):
            assert absolute(proxy.port, f"http://{quiet.address}/{i}").status == 200
        assert quiet.connections == 1


def test_bodies(proxy: Proxy, origin: Origin) -> None:
    body = bytes(range(256)) * 2000
    assert absolute(proxy.port, f"http://{origin.address}/fixed", method="POST", body=body).status == 200
    assert origin.only("/fixed").body == body
    with Client(proxy.port) as client:
        fields = [("Transfer-Encoding", "chunked")]
        client.request("PUT", f"http://{origin.address}/chunked", fields, chunked(body), host=origin.address)
        assert client.response().status == 200
    assert origin.only("/chunked").body == body


def test_hop_by_hop_fields_end_here(proxy: Proxy, origin: Origin) -> None:
    fields = [
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("Connection", "x-hop"),
        ("X-Hop", "1"),
    ]
    assert absolute(proxy.port, f"http://{origin.address}/hop", fields).status == 200
    seen = origin.only("/hop").fields
    for name in ("Proxy-Connection", "Proxy-Authorization", "X-Hop"):
        assert name not in seen, name


def test_proxy_connection_keeps_a_client_of_http10(proxy: Proxy, origin: Origin) -> None:
    with Client(proxy.port) as client:
        for _ in range(2):
            client.send(f"GET http://{origin.address}/old HTTP/1.0\r\nProxy-Connection: keep-alive\r\n\r\n".encode())
            assert client.response().status == 200


def test_a_request_that_is_not_for_a_proxy(proxy: Proxy) -> None:
    response = fetch(proxy.port, "/origin-form")
    assert response.status == 400
    assert "error=http_request_error" in (response.fields.get("Proxy-Status") or "")


@pytest.mark.parametrize(
    "url",
    [
        "http://user:secret@{origin}/userinfo",
        "http:///no-host",
        "http://{origin}:x/bad-port",
        "http://127.0.0.1:99999/big-port",
        "ftp://{origin}/scheme",
        "file:///etc/passwd",
        "http://{origin}/#fragment",
        "http://127.0.0.1%00:80/",
        "http://[::1/",
    ],
)
def test_urls_that_are_refused(proxy: Proxy, origin: Origin, url: str) -> None:
    before = len(origin.requests)
    with Client(proxy.port) as client:
        client.request("GET", url.format(origin=origin.address))
        assert client.response().status in (400, 501)
    assert len(origin.requests) == before


def test_a_refused_connection(proxy: Proxy) -> None:
    with Refusing() as dead:
        response = absolute(proxy.port, f"http://{dead.address}/refused")
    assert response.status == 502
    assert "error=connection_refused" in (response.fields.get("Proxy-Status") or "")
    assert proxy.record("/refused")["reason"] == "connection_refused"


def test_a_name_that_does_not_exist(proxy: Proxy) -> None:
    response = absolute(proxy.port, "http://nowhere.test/lost")
    assert response.status == 502
    assert "error=dns_error" in (response.fields.get("Proxy-Status") or "")
    assert proxy.record("/lost")["reason"] == "dns_error"


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS"])
def test_max_forwards(proxy: Proxy, origin: Origin, method: str) -> None:
    """RFC 9110, section 7.6.2: 0 is answered here, more is counted down."""
    url = f"http://{origin.address}/max-{method}"
    assert absolute(proxy.port, url, [("Max-Forwards", "0")], method=method).status in (200, 204, 405)
    assert not origin.seen(f"/max-{method}")
    if method == "OPTIONS":
        assert absolute(proxy.port, url, [("Max-Forwards", "3")], method=method).status == 200
        assert origin.only(f"/max-{method}").fields.get("Max-Forwards") == "2"


def test_ipv6_literal(proxy: Proxy, ipv6: None) -> None:
    with Origin("six", host="::1") as six:
        response = absolute(proxy.port, f"http://[::1]:{six.port}/six")
        assert response.text == "six GET /six"
        assert six.only("/six").fields.get("Host") == f"[::1]:{six.port}"


def test_the_record(proxy: Proxy, origin: Origin) -> None:
    absolute(proxy.port, f"http://{origin.address}/rec?a=1", method="POST", body=b"12345")
    record = proxy.record("/rec")
    assert (record["method"], record["status"], record["upstream_status"]) == ("POST", 200, 200)
    assert record["listener"] == "office"
    assert (record["reason"], record["ending"]) == ("forwarded", "complete")
    assert record["upstream"] == origin.address
    assert record["request_body"] == 5
    assert "127.0.0.1" in record["host"]
