"""From HTTP to HTTPS (`redirect_https`), and the word that keeps browsers there (`hsts`)."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client, fetch
from tests.support.http2 import Http2Client, fetch2
from tests.support.origin import Origin, responds
from tests.support.proxy import Config, Proxy, environment, free_port, reverse
from tests.support.tls import TlsClient, authority, tls_listener

HSTS = "Strict-Transport-Security"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


def both(origin: Origin, redirect: object = True, **listener: Any) -> tuple[Config, int]:
    """A plain listener `web` that redirects, and `secure`, whose port is given too."""
    config = reverse([origin.address], listener={"redirect_https": redirect})
    port = free_port()
    config["listeners"]["secure"] = {"bind": f"127.0.0.1:{port}", "role": "reverse", **tls_listener(**listener)}
    return config, port


@pytest.fixture(scope="module")
def pair(origin: Origin) -> Iterator[tuple[Proxy, int]]:
    config, port = both(origin, hsts="180d")
    with Proxy(config) as proxy:
        yield proxy, port


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
def test_every_method_is_redirected_as_it_is(pair: tuple[Proxy, int], origin: Origin, method: str) -> None:
    """308 keeps the method (RFC 9110, section 15.4.9)."""
    proxy, secure = pair
    with Client(proxy.port) as client:
        response = client.ask(method, "/a/b?c=d&e=%20", host="test.example:8080")
        assert response.status == 308
        assert response.fields.get("Location") == f"https://test.example:{secure}/a/b?c=d&e=%20"
        assert HSTS not in response.fields, "RFC 6797, section 7.2: not over plain HTTP"
        assert client.ask("GET", "/again").status == 308
    assert not origin.seen("/a/b")
    assert proxy.wait_records(lambda record: record["reason"] == "https_redirect" and record["method"] == method)


def test_the_redirect_leads_somewhere(pair: tuple[Proxy, int], tmp_path: Path) -> None:
    proxy, _ = pair
    done = subprocess.run(
        ["curl", "-sS", "-L", "--cacert", str(authority().file), "-d", "body", f"http://localhost:{proxy.port}/follow"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == "origin POST /follow", done.stderr


@pytest.mark.parametrize("body", [b"x" * 10, b"x" * 1_000_000])
def test_a_body_that_comes_with_it(pair: tuple[Proxy, int], body: bytes) -> None:
    proxy, _ = pair
    assert fetch(proxy.port, "/with-body", method="POST", body=body).status == 308


def test_over_prior_knowledge(pair: tuple[Proxy, int]) -> None:
    proxy, secure = pair
    response = fetch2(proxy.port, "/two", tls=False)
    assert (response.status, response.fields.get("location")) == (308, f"https://test.example:{secure}/two")


@pytest.mark.parametrize(
    ("host", "location"),
    [
        ("[2001:db8::1]:8080", "https://[2001:db8::1]:9443/x"),
        ("TEST.example", "https://test.example:9443/x"),
        ("192.0.2.7", "https://192.0.2.7:9443/x"),
    ],
)
def test_a_port_of_ones_own(origin: Origin, host: str, location: str) -> None:
    config = reverse([origin.address], listener={"redirect_https": 9443})
    with Proxy(config) as proxy:
        response = fetch(proxy.port, "/x", host=host)
        assert response.status == 308
        assert (response.fields.get("Location") or "").lower() == location


def test_the_port_of_https_is_not_named(origin: Origin) -> None:
    with Proxy(reverse([origin.address], listener={"redirect_https": 443})) as proxy:
        assert fetch(proxy.port, "/x").fields.get("Location") == "https://test.example/x"


def test_without_a_host_there_is_nowhere_to_go(origin: Origin) -> None:
    with Proxy(reverse([origin.address], listener={"redirect_https": 443})) as proxy, Client(proxy.port) as client:
        client.send(b"GET /x HTTP/1.0\r\n\r\n")
        assert client.response().status in (400, 404)


def test_a_malformed_request_is_not_redirected(origin: Origin) -> None:
    with Proxy(reverse([origin.address], listener={"redirect_https": 443})) as proxy, Client(proxy.port) as client:
        client.send(b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert client.response().status == 400


def test_nothing_of_the_request_is_smuggled_into_the_answer(pair: tuple[Proxy, int]) -> None:
    proxy, secure = pair
    response = fetch(proxy.port, "//evil.example/%0d%0aX-Evil:%201?a=%0d%0a")
    assert response.fields.get("Location") == f"https://test.example:{secure}//evil.example/%0d%0aX-Evil:%201?a=%0d%0a"
    assert "X-Evil" not in response.fields


# -- HSTS


def test_hsts_over_tls(pair: tuple[Proxy, int], origin: Origin) -> None:
    _, secure = pair
    with TlsClient(secure) as client:
        assert client.ask("GET", "/hsts").fields.get(HSTS) == "max-age=15552000"
        assert client.ask("GET", "/none", host="test.example").fields.get(HSTS) == "max-age=15552000"
    with Http2Client(secure) as two:
        assert two.ask("GET", "/hsts").fields.get(HSTS) == "max-age=15552000"


def test_hsts_on_the_proxys_own_pages(origin: Origin) -> None:
    routes = [
        {"name": "one", "match": {"path": "/one"}, "pool": "all"},
        {"name": "two", "match": {"path": "/two"}, "redirect": "/"},
    ]
    config = reverse([origin.address], routes=routes, listener=tls_listener(hsts="1d"))
    with Proxy(config) as proxy, TlsClient(proxy.port) as client:
        for path, status in (("/one", 200), ("/two", 302), ("/three", 404)):
            response = client.ask("GET", path)
            assert (response.status, response.fields.get(HSTS)) == (status, "max-age=86400"), path


def test_hsts_with_all_it_can_say(origin: Origin) -> None:
    hsts = {"max_age": "730d", "include_subdomains": True, "preload": True}
    with Proxy(reverse([origin.address], listener=tls_listener(hsts=hsts))) as proxy, TlsClient(proxy.port) as client:
        said = client.ask("GET", "/all").fields.get(HSTS) or ""
        parts = [part.strip() for part in said.split(";")]
        assert parts[0] == "max-age=63072000"
        assert sorted(part.lower() for part in parts[1:]) == ["includesubdomains", "preload"]


def test_a_servers_own_hsts(origin: Origin) -> None:
    """One field, not two, of which browsers would heed the first (RFC 6797, section 8.1)."""
    origin.on("/own", responds(200, b"", (HSTS, "max-age=1")))
    with Proxy(reverse([origin.address], listener=tls_listener(hsts="1d"))) as proxy, TlsClient(proxy.port) as client:
        assert len(client.ask("GET", "/own").fields.values(HSTS)) == 1


def test_without_the_key_there_is_none(origin: Origin) -> None:
    with Proxy(reverse([origin.address], listener=tls_listener())) as proxy, TlsClient(proxy.port) as client:
        assert HSTS not in client.ask("GET", "/without").fields
