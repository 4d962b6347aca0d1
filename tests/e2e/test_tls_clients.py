"""Certificates of clients: who is let in, and what servers are told of them."""

import ssl
from collections.abc import Iterator

import pytest

from tests.support.client import Response, fetch
from tests.support.http2 import Http2Client
from tests.support.origin import Origin
from tests.support.proxy import Config, Proxy, reverse
from tests.support.stream import Closed
from tests.support.tls import (
    ONLY_12,
    ONLY_13,
    RSA,
    Leaf,
    TlsClient,
    alice,
    authority,
    client_context,
    mallory,
    tls_listener,
)
from tests.support.wait import until

Versions = tuple[ssl.TLSVersion, ssl.TLSVersion]
BOB = authority().leaf("bob@test.example", common_name="bob, the 2nd", organization="Büro", unit="In+Out", kind=RSA)
LATE = authority().leaf("late@test.example", common_name="late", expired=True)
SUBJECT, FINGERPRINT = "X-Client-Cert-Subject", "X-Client-Cert-Fingerprint"


def listener(kind: str | None) -> Config:
    tls = {"client_ca": str(authority().file), **({"client_certificate": kind} if kind else {})}
    return tls_listener(tls=tls)


ROUTES = [
    {"name": "by-print", "match": {"path": "/print/*", "client_certificate": {"fingerprint": alice().fingerprint}}},
    {
        "name": "by-loud-print",
        "match": {
            "path": "/loud/*",
            "client_certificate": {
                "fingerprint": [":".join(alice().fingerprint.upper()[i : i + 2] for i in range(0, 64, 2))]
            },
        },
    },
    {"name": "by-prefix", "match": {"path": "/prefix/*", "client_certificate": {"subject": "CN=al*"}}},
    {
        "name": "by-regex",
        "match": {"path": "/regex/*", "client_certificate": {"subject": "~(^|,)O=Reviver Tests"}},
    },
    {"name": "by-list", "match": {"path": "/list/*", "client_certificate": {"subject": ["~CN=carol", "~CN=alice"]}}},
    {"name": "any", "match": {"path": "/any/*", "client_certificate": True}},
    {"name": "rest", "match": {"path": "/*"}},
]


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


def start(origin: Origin, kind: str | None) -> Proxy:
    routes = [{**route, "pool": "all"} for route in ROUTES]
    return Proxy(reverse([origin.address], routes=routes, listener=listener(kind)))


@pytest.fixture(scope="module")
def optional(origin: Origin) -> Iterator[Proxy]:
    with start(origin, "optional") as proxy:
        yield proxy


@pytest.fixture(scope="module")
def required(origin: Origin) -> Iterator[Proxy]:
    with start(origin, None) as proxy:
        yield proxy


def ask(proxy: Proxy, path: str, leaf: Leaf | None = None, *fields: tuple[str, str]) -> Response:
    with TlsClient(proxy.port, context=client_context(certificate=leaf)) as client:
        return client.ask("GET", path, fields)


@pytest.mark.parametrize("versions", [ONLY_12, ONLY_13], ids=["1.2", "1.3"])
@pytest.mark.parametrize(
    ("leaf", "alert"),
    [
        pytest.param(None, "CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE", id="absent"),
        pytest.param(mallory(), "UNKNOWN_CA|BAD_CERTIFICATE", id="of another authority"),
        pytest.param(LATE, "CERTIFICATE_EXPIRED", id="expired"),
    ],
)
def test_turned_away(required: Proxy, leaf: Leaf | None, alert: str, versions: Versions) -> None:
    before = len(required.records())
    context = client_context(certificate=leaf, versions=versions)
    # a client has done its part of TLS 1.3 before the server has judged
    with pytest.raises(ssl.SSLError, match=alert), TlsClient(required.port, context=context) as client:
        client.read_some()
    (record,) = until(lambda: required.records()[before:], "a record")
    assert record["reason"] == "tls_handshake_failed"
    assert record["detail"].upper() in alert, "the alert, by its name"
    assert "status" not in record


def test_required_in_so_many_words(origin: Origin) -> None:
    with start(origin, "required") as proxy:
        with pytest.raises(ssl.SSLError), TlsClient(proxy.port) as client:
            client.read_some()
        assert ask(proxy, "/in-so-many-words", alice()).status == 200


def test_the_same_name_of_another_authority_is_nobody_where_it_is_optional(optional: Proxy, origin: Origin) -> None:
    """A certificate that is shown has to be good; only showing none is optional."""
    with pytest.raises((ssl.SSLError, Closed)):
        ask(optional, "/mallory", mallory())
    assert not origin.seen("/mallory")


def test_let_in(required: Proxy, origin: Origin) -> None:
    assert ask(required, "/let-in", alice()).status == 200
    fields = origin.only("/let-in").fields
    assert fields.get(FINGERPRINT) == alice().fingerprint
    subject = fields.get(SUBJECT) or ""
    assert sorted(subject.split(",")) == ["CN=alice", "O=Reviver Tests", "OU=Leaves"]
    # RFC 4514, section 2.1: the last one comes first; trustme writes O, OU, CN
    assert subject == "CN=alice,OU=Leaves,O=Reviver Tests"


def test_a_subject_with_signs_that_need_care(required: Proxy, origin: Origin) -> None:
    assert ask(required, "/bob", BOB).status == 200
    subject = origin.only("/bob").fields.get(SUBJECT) or ""
    assert r"CN=bob\, the 2nd" in subject, "RFC 4514, section 2.4"
    assert r"OU=In\+Out" in subject
    assert "\r" not in subject and "\n" not in subject
    assert "O=B" in subject


def test_over_http2(required: Proxy, origin: Origin) -> None:
    context = client_context(alpn=["h2"], certificate=alice())
    with Http2Client(required.port, context=context) as client:
        assert client.ask("GET", "/h2", [(FINGERPRINT.lower(), "0" * 64)]).status == 200
    assert origin.only("/h2").fields.get(FINGERPRINT) == alice().fingerprint


LIES = [
    (SUBJECT, "CN=root"),
    (FINGERPRINT, "f" * 64),
    ("x_client_cert_subject", "CN=root"),
    ("X_Client-Cert_Fingerprint", "f" * 64),
    ("X-CLIENT-CERT-SUBJECT", "CN=root"),
]


@pytest.mark.parametrize("leaf", [None, alice()], ids=["without", "with"])
def test_a_clients_own_word_is_dropped(optional: Proxy, origin: Origin, leaf: Leaf | None) -> None:
    path = f"/lies-{bool(leaf)}"
    assert ask(optional, path, leaf, *LIES).status == 200
    request = origin.only(path)
    assert b"CN=root" not in request.raw
    assert b"ffff" not in request.raw
    assert not {"x_client_cert_subject", "x_client-cert_fingerprint"} & request.fields.names()
    assert request.fields.get(FINGERPRINT) == (leaf.fingerprint if leaf else None)


def test_its_word_is_dropped_without_tls_too(origin: Origin) -> None:
    with Proxy(reverse([origin.address], trusted_proxies=["127.0.0.0/8"])) as proxy:
        assert fetch(proxy.port, "/plain-lies", LIES).status == 200
    assert b"CN=root" not in origin.only("/plain-lies").raw
    assert b"ffff" not in origin.only("/plain-lies").raw


@pytest.mark.parametrize(
    ("path", "leaf", "route"),
    [
        ("/print/a", alice(), "by-print"),
        ("/print/b", BOB, "rest"),
        ("/print/c", None, "rest"),
        ("/loud/a", alice(), "by-loud-print"),
        ("/loud/b", BOB, "rest"),
        ("/prefix/a", alice(), "by-prefix"),
        ("/prefix/b", BOB, "rest"),
        ("/regex/a", alice(), "by-regex"),
        ("/regex/b", BOB, "rest"),
        ("/list/a", alice(), "by-list"),
        ("/list/b", BOB, "rest"),
        ("/any/a", alice(), "any"),
        ("/any/b", BOB, "any"),
        ("/any/c", None, "rest"),
    ],
)
def test_match(optional: Proxy, path: str, leaf: Leaf | None, route: str) -> None:
    assert ask(optional, path, leaf).status == 200
    assert optional.record(path)["route"] == route


def test_a_route_for_certificates_on_a_plain_listener_matches_nobody(origin: Origin) -> None:
    routes = [{"name": "any", "match": {"client_certificate": True}, "pool": "all"}]
    config = reverse([origin.address], routes=routes, listener=listener("optional"))
    plain = reverse()["listeners"]["web"]
    config["listeners"]["plain"] = plain
    with Proxy(config) as proxy:
        port = int(plain["bind"].rpartition(":")[2])
        assert fetch(port, "/plain", LIES).status == 404
        assert ask(proxy, "/tls", alice()).status == 200
