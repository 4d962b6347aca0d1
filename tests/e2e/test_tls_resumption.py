"""Sessions are resumed whichever worker a client meets, and after a reload."""

import ssl
from collections.abc import Iterator

import pytest
import trustme

from tests.support.origin import Origin
from tests.support.proxy import Proxy, reverse
from tests.support.tls import ONLY_12, ONLY_13, TlsClient, alice, authority, client_context, tls_listener

Versions = tuple[ssl.TLSVersion, ssl.TLSVersion]
BOTH = pytest.mark.parametrize("versions", [ONLY_12, ONLY_13], ids=["1.2", "1.3"])


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address], listener=tls_listener(), workers=2)) as proxy:
        yield proxy


def visit(
    proxy: Proxy, context: ssl.SSLContext, session: ssl.SSLSession | None = None, sni: str = "test.example"
) -> tuple[bool, ssl.SSLSession]:
    """One request; whether the session was resumed, and the one to resume next."""
    with TlsClient(proxy.port, context=context, session=session, sni=sni) as client:
        assert client.ask("GET", "/visit").status == 200
        assert client.sock.session is not None
        return bool(client.sock.session_reused), client.sock.session


@BOTH
def test_on_every_worker(proxy: Proxy, versions: Versions) -> None:
    """The system spreads connections over the workers by their ports: of 24, some meet each."""
    context = client_context(versions=versions)
    reused, session = visit(proxy, context)
    assert not reused
    for _ in range(24):
        reused, session = visit(proxy, context, session)
        assert reused


@BOTH
def test_after_a_reload(proxy: Proxy, versions: Versions) -> None:
    context = client_context(versions=versions)
    _, session = visit(proxy, context)
    for fields in (50, 60, 70):
        proxy.config["listeners"]["web"]["limits"] = {"fields": fields}
        assert proxy.reload().returncode == 0
        reused, session = visit(proxy, context, session)
        assert reused


@BOTH
def test_without_tickets_of_the_client(proxy: Proxy, versions: Versions) -> None:
    context = client_context(versions=versions)
    context.options |= ssl.OP_NO_TICKET
    for _ in range(4):
        with TlsClient(proxy.port, context=context) as client:
            assert client.ask("GET", "/no-ticket").status == 200


def test_a_session_of_another_proxy_is_a_full_handshake(proxy: Proxy, origin: Origin) -> None:
    """Keys of tickets are secrets of one process."""
    context = client_context(versions=ONLY_13)
    _, session = visit(proxy, context)
    with Proxy(reverse([origin.address], listener=tls_listener())) as other:
        reused, _ = visit(other, context, session)
        assert not reused


def test_the_client_certificate_is_still_known(origin: Origin) -> None:
    """A resumed session carries the identity of its first handshake, or there is no resumption."""
    listener = tls_listener(tls={"client_ca": str(authority().file)})
    with Proxy(reverse([origin.address], listener=listener)) as proxy:
        context = client_context(certificate=alice())
        session = None
        for i in range(4):
            with TlsClient(proxy.port, context=context, session=session) as client:
                assert client.ask("GET", f"/known-{i}").status == 200
                session = client.sock.session
            assert origin.only(f"/known-{i}").fields.get("X-Client-Cert-Fingerprint") == alice().fingerprint


def test_a_session_does_not_outlive_the_authority_of_its_client(origin: Origin) -> None:
    """A certificate that is no longer accepted opens no door by an old ticket."""
    listener = tls_listener(tls={"client_ca": str(authority().file)})
    with Proxy(reverse([origin.address], listener=listener)) as proxy:
        context = client_context(certificate=alice())
        _, session = visit(proxy, context)
        other = authority().folder / "other-client-authority.pem"
        other.write_bytes(trustme.CA().cert_pem.bytes())
        proxy.config["listeners"]["web"]["tls"]["client_ca"] = str(other)
        assert proxy.reload().returncode == 0
        with pytest.raises((ssl.SSLError, ConnectionError)):
            visit(proxy, context, session)


def test_a_session_for_one_name_does_not_open_another(origin: Origin) -> None:
    """RFC 6066, section 3: a server must not resume a session under another server name."""
    shop, bank = authority().leaf("shop.example"), authority().leaf("bank.example")
    with Proxy(reverse([origin.address], listener=tls_listener(shop, bank))) as proxy:
        context = client_context(versions=ONLY_12)
        with TlsClient(proxy.port, context=context, sni="shop.example") as client:
            assert client.ask("GET", "/shop", host="shop.example").status == 200
            session = client.sock.session
        with TlsClient(proxy.port, context=context, sni="bank.example", session=session) as client:
            assert not client.sock.session_reused
            assert client.peer == bank.der
            assert client.ask("GET", "/bank", host="bank.example").status == 200
