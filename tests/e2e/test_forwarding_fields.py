"""What a reverse listener tells its servers of the client, and whom it believes."""

from collections.abc import Iterator

import pytest

from tests.support.client import Client, fetch
from tests.support.origin import Origin, Request
from tests.support.proxy import Proxy, reverse


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    """Believes 127.1.0.0/16 and 10.0.0.0/8, and not 127.0.0.1."""
    with Proxy(reverse([origin.address], trusted_proxies=["127.1.0.0/16", "10.0.0.0/8"])) as proxy:
        yield proxy


def sent(proxy: Proxy, origin: Origin, path: str, *fields: tuple[str, str], source: str | None = None) -> Request:
    assert fetch(proxy.port, path, fields, source=source).status == 200
    return origin.only(path)


def test_a_direct_client(proxy: Proxy, origin: Origin) -> None:
    fields = sent(proxy, origin, "/direct").fields
    assert fields.get("X-Forwarded-For") == "127.0.0.1"
    assert fields.get("X-Forwarded-Proto") == "http"
    assert fields.get("X-Forwarded-Host") == "test.example"
    via = fields.get("Via") or ""
    assert via.startswith("1.1 ")
    assert len(via.split()) == 2


def test_an_untrusted_clients_word_is_dropped(proxy: Proxy, origin: Origin) -> None:
    lies = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-For", "7.7.7.7"),
        ("x-forwarded-proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Port", "1"),
        ("X-Real-IP", "6.6.6.6"),
        ("Forwarded", "for=6.6.6.6"),
    ]
    request = sent(proxy, origin, "/lies", *lies)
    assert request.fields.get("X-Forwarded-For") == "127.0.0.1"
    assert request.fields.get("X-Forwarded-Proto") == "http"
    assert request.fields.get("X-Forwarded-Host") == "test.example"
    assert b"6.6.6.6" not in request.raw
    assert b"evil.example" not in request.raw


def test_spellings_that_other_servers_take_for_the_same_name(proxy: Proxy, origin: Origin) -> None:
    """WSGI and CGI servers cannot tell `_` from `-`."""
    request = sent(proxy, origin, "/underscore", ("X_Forwarded_For", "6.6.6.6"), ("X_Forwarded_Proto", "https"))
    assert b"6.6.6.6" not in request.raw
    assert "X_Forwarded_Proto" not in request.fields


def test_a_trusted_proxys_word_is_kept_and_continued(proxy: Proxy, origin: Origin) -> None:
    told = [("X-Forwarded-For", "8.8.8.8"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "shop.example")]
    fields = sent(proxy, origin, "/trusted", *told, source="127.1.0.1").fields
    assert [part.strip() for part in (fields.get("X-Forwarded-For") or "").split(",")] == ["8.8.8.8", "127.1.0.1"]
    assert fields.get("X-Forwarded-Proto") == "https"
    assert fields.get("X-Forwarded-Host") == "shop.example"


@pytest.mark.parametrize(
    ("number", "told", "client"),
    [
        (1, [("X-Forwarded-For", "8.8.8.8")], "8.8.8.8"),
        (2, [("X-Forwarded-For", "6.6.6.6, 8.8.8.8, 10.0.0.9")], "8.8.8.8"),
        (3, [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "8.8.8.8")], "8.8.8.8"),
        (4, [("Forwarded", "for=8.8.8.8;proto=https")], "8.8.8.8"),
        (5, [("Forwarded", 'for="[2001:db8::7]:4711"')], "2001:db8::7"),
        (6, [("X-Forwarded-For", "10.0.0.1, 10.0.0.2")], "10.0.0.1"),
        (7, [("X-Forwarded-For", "nonsense, 10.0.0.3")], "10.0.0.3"),
        (8, [], "127.1.0.1"),
    ],
)
def test_the_client_address_behind_trusted_proxies(
    proxy: Proxy, number: int, told: list[tuple[str, str]], client: str
) -> None:
    path = f"/behind-{number}"
    assert fetch(proxy.port, path, told, source="127.1.0.1").status == 200
    recorded = proxy.record(path)["client"]
    assert recorded.rpartition(":")[0].strip("[]") == client or recorded == client


def test_the_host_of_an_absolute_target_wins(proxy: Proxy, origin: Origin) -> None:
    """RFC 9112, section 3.2.2."""
    with Client(proxy.port) as client:
        assert client.ask("GET", "http://target.example/absolute", host="other.example").status == 200
    fields = origin.only("/absolute").fields
    assert fields.get("Host") == "target.example"
    assert fields.get("X-Forwarded-Host") == "target.example"


def test_via_continues(proxy: Proxy, origin: Origin) -> None:
    via = sent(proxy, origin, "/via", ("Via", "1.0 older (x)"), ("Via", "1.1 newer")).fields.values("Via")
    parts = [part.strip() for part in ", ".join(via).split(",")]
    assert parts[:2] == ["1.0 older (x)", "1.1 newer"]
    assert len(parts) == 3


def test_an_ipv6_client(origin: Origin, ipv6: None) -> None:
    config = reverse([origin.address])
    port = config["listeners"]["web"]["bind"].rpartition(":")[2]
    config["listeners"]["web"]["bind"] = f"[::1]:{port}"
    with Proxy(config) as proxy, Client(int(port), host="::1") as client:
        assert client.ask("GET", "/six").status == 200
        assert origin.only("/six").fields.get("X-Forwarded-For") == "::1"
        assert "::1" in proxy.record("/six")["client"]
