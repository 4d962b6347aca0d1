"""What was made for one client does not come to another through the cache."""

import threading

import pytest

from tests.support.cache import Answer, Script, Stage, reverse_stage, route, says
from tests.support.client import Client, fetch
from tests.support.origin import Exchange, Handler, Origin
from tests.support.proxy import Config, Proxy, reverse
from tests.support.tls import TlsClient, alice, authority, client_context, site, tls_listener
from tests.support.wait import wait_for

BOB = authority().leaf("bob@test.example", common_name="bob")
MINUTE = "Cache-Control: max-age=60"


class Gate:
    """Holds the first request until it is let go; then answers it, and all others, by another handler."""

    def __init__(self, then: Handler) -> None:
        self.then, self.open = then, threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        wait_for(self.open, "the test")
        self.then(exchange)


def echoes(name: str, *lines: str) -> Handler:
    """Answers by a field of the request, fresh for a minute."""

    def handler(exchange: Exchange) -> None:
        value = ", ".join(exchange.request.fields.values(name))
        Answer(200, (MINUTE, *lines)).send(exchange, value.encode())

    return handler


def start(origin: Origin, listener: Config | None = None, **top: object) -> Proxy:
    return Proxy(reverse([origin.address], routes=[route()], listener=listener or {}, **top))


@pytest.mark.parametrize("private", ["Set-Cookie: session=alice", "Cache-Control: private"])
def test_a_validation_that_is_one_clients_own(private: str) -> None:
    with reverse_stage(collapse_timeout="15s") as on, Client(on.proxy.port) as one, Client(on.proxy.port) as other:
        on.origin.on("/x", says("Cache-Control: max-age=0", 'ETag: "a"', body=b"one"))
        on.ask("/x")
        gate = Gate(Script(Answer(304, (MINUTE, 'ETag: "a"', private, "X-For: alice")), Answer(304, (MINUTE,))))
        on.origin.on("/x", gate)
        on.request(one, "/x")
        on.origin.wait_for("/x", 2)
        on.request(other, "/x")
        assert other.is_quiet()
        gate.open.set()
        assert "X-For" in one.response().fields
        assert not {"set-cookie", "x-for"} & other.response().fields.names()


def test_a_response_that_varies_by_the_clients_address() -> None:
    """By a field that the proxy makes, in both senses: two clients, and one that says it is the other."""
    with Origin() as origin, start(origin) as proxy:
        origin.on("/x", echoes("X-Forwarded-For", "Vary: X-Forwarded-For"))
        for source in ("127.0.0.1", "127.0.0.2"):
            assert fetch(proxy.port, "/x", source=source).text == source
            assert fetch(proxy.port, "/x", [("X-Forwarded-For", "127.0.0.9")], source=source).text == source


def test_a_response_that_varies_by_the_clients_certificate() -> None:
    listener = tls_listener(tls={"client_ca": str(authority().file)})
    with Origin() as origin, start(origin, listener) as proxy:
        origin.on("/x", echoes("X-Client-Cert-Subject", "Vary: X-Client-Cert-Subject"))
        for leaf, name in ((alice(), "alice"), (BOB, "bob")):
            with TlsClient(proxy.port, context=client_context(certificate=leaf)) as client:
                assert f"CN={name}" in client.ask("GET", "/x").text


def test_the_scheme_that_a_trusted_proxy_tells_behind_tls() -> None:
    """A redirect to `https` for the one must not become a redirect of the other to itself."""
    with Origin() as origin, start(origin, tls_listener(site()), trusted_proxies=["127.0.0.1"]) as proxy:
        origin.on("/x", echoes("X-Forwarded-Proto"))
        for scheme in ("http", "https"):
            with TlsClient(proxy.port) as client:
                assert client.ask("GET", "/x", [("X-Forwarded-Proto", scheme)]).text == scheme


def test_a_coding_that_one_client_refuses() -> None:
    with reverse_stage() as on:
        on.on("/x", MINUTE, "Vary: Accept-Encoding", "Content-Encoding: gzip", body=b"as gzip")
        on.ask("/x", "Accept-Encoding: *")
        on.ask("/x", "Accept-Encoding: *, gzip;q=0")
        assert on.asked("/x") == 2


# -- what one client sends to choose what others get


def poisons(on: Stage, attack: tuple[str, ...], victim: tuple[str, ...], name: str, *lines: str) -> str:
    """What the victim gets after an attacker."""
    path = on.path(name)
    on.origin.on(path, echoes(name, *lines))
    on.ask(path, *attack)
    return on.ask(path, *victim).text


def test_a_field_of_the_key_that_is_taken_away() -> None:
    with reverse_stage(key={"headers": ["x-tenant"]}) as on:
        attack = ("X-Tenant: shop", "Connection: X-Tenant")
        assert poisons(on, attack, ("X-Tenant: shop",), "X-Tenant") == "shop"


def test_a_field_of_vary_that_is_taken_away() -> None:
    with reverse_stage() as on:
        attack = ("Accept-Language: fr", "Connection: Accept-Language")
        assert poisons(on, attack, ("Accept-Language: fr",), "Accept-Language", "Vary: Accept-Language") == "fr"


@pytest.mark.parametrize("name", ["X_Original_URL", "X_Rewrite_URL", "X_Host", "X-Original_URL"])
def test_a_steering_field_with_underscores(name: str) -> None:
    """Servers that hand fields on as variables (CGI, WSGI) read both as one name."""
    with reverse_stage() as on:
        assert poisons(on, (f"{name}: evil",), (), name) == ""


def test_the_host_of_a_forwarded_field() -> None:
    with reverse_stage({"trusted_proxies": ["127.0.0.1"]}) as on:
        assert "evil" not in poisons(on, ("Forwarded: host=evil.example",), (), "Forwarded")
