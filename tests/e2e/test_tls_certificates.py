"""Which certificate a client is shown, and that its names hold for what it asks afterwards."""

import ssl
import subprocess
from collections.abc import Iterator

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import PrivateFormat

from tests.support.http2 import Http2Client
from tests.support.origin import Origin
from tests.support.proxy import Config, Proxy, environment, reverse
from tests.support.tls import ECDSA, ONLY_12, RSA, Leaf, TlsClient, authority, client_context, tls_listener

CA = authority()
DEFAULT = CA.leaf("default.example")
SHOP = CA.leaf("shop.example", "www.shop.example")
WILD = CA.leaf("*.wild.example")
EXACT = CA.leaf("exact.wild.example")
BOTH_ECDSA = CA.leaf("both.example", kind=ECDSA)
BOTH_RSA = CA.leaf("both.example", kind=RSA)


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    leaves = (DEFAULT, SHOP, WILD, EXACT, BOTH_ECDSA, BOTH_RSA)
    with Proxy(reverse([origin.address], listener=tls_listener(*leaves))) as proxy:
        yield proxy


def shown(proxy: Proxy, sni: str | None, **context: str) -> bytes:
    """The leaf that a client gets to see."""
    with TlsClient(proxy.port, sni=sni, context=client_context(verify=False, **context)) as client:  # type: ignore[arg-type]
        return client.peer


@pytest.mark.parametrize(
    ("sni", "leaf"),
    [
        ("shop.example", SHOP),
        ("www.shop.example", SHOP),
        ("SHOP.example", SHOP),
        ("a.wild.example", WILD),
        ("exact.wild.example", EXACT),
        ("wild.example", DEFAULT),
        ("a.b.wild.example", DEFAULT),
        ("default.example", DEFAULT),
        ("unknown.example", DEFAULT),
        (None, DEFAULT),
    ],
)
def test_by_server_name(proxy: Proxy, sni: str | None, leaf: Leaf) -> None:
    assert shown(proxy, sni) == leaf.der


def test_the_name_and_the_chain_are_good_for_a_strict_client(proxy: Proxy) -> None:
    for sni in ("shop.example", "a.wild.example", "both.example"):
        with TlsClient(proxy.port, sni=sni) as client:
            response = client.ask("GET", f"/strict-{sni}", host=sni)
            assert response.status == 200


@pytest.mark.parametrize(
    ("ciphers", "leaf"), [("ECDHE-ECDSA-AES128-GCM-SHA256", BOTH_ECDSA), ("ECDHE-RSA-AES128-GCM-SHA256", BOTH_RSA)]
)
def test_kind_of_key_by_tls12_ciphers(proxy: Proxy, ciphers: str, leaf: Leaf) -> None:
    context = client_context(versions=ONLY_12, ciphers=ciphers)
    with TlsClient(proxy.port, sni="both.example", context=context) as client:
        assert client.peer == leaf.der


@pytest.mark.parametrize(
    ("algorithms", "leaf"), [("ecdsa_secp256r1_sha256", BOTH_ECDSA), ("rsa_pss_rsae_sha256", BOTH_RSA)]
)
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_kind_of_key_by_signature_algorithms(proxy: Proxy, algorithms: str, leaf: Leaf, version: str) -> None:
    output = s_client(proxy.port, "-servername", "both.example", "-sigalgs", algorithms, version)
    assert ssl.PEM_cert_to_DER_cert(first_certificate(output)) == leaf.der


def test_a_client_for_whose_algorithms_there_is_no_key(proxy: Proxy) -> None:
    """`shop.example` has a key of one kind only: the handshake fails."""
    context = client_context(versions=ONLY_12, ciphers="ECDHE-RSA-AES128-GCM-SHA256")
    with pytest.raises(ssl.SSLError, match="ALERT"), TlsClient(proxy.port, sni="shop.example", context=context):
        pass


def serves(origin: Origin, name: str, listener: Config) -> None:
    """A proxy with this listener satisfies a client that checks everything."""
    with Proxy(reverse([origin.address], listener=listener)) as proxy, TlsClient(proxy.port, sni=name) as client:
        assert client.ask("GET", "/serves", host=name).status == 200


def test_a_chain_is_sent_whole(origin: Origin) -> None:
    parent = trustme.CA.from_pem(CA.file.read_bytes(), CA.ca.private_key_pem.bytes())
    middle = parent.create_child_ca()
    issued = middle.issue_cert("chained.example")
    leaf = Leaf(CA.folder / "chained.pem", CA.folder / "chained.key")
    leaf.certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    leaf.key.write_bytes(issued.private_key_pem.bytes())
    assert leaf.certificate.read_bytes().count(b"BEGIN CERTIFICATE") == 2
    serves(origin, "chained.example", tls_listener(leaf))


@pytest.mark.parametrize(
    ("kind", "key_format", "begins"),
    [
        (ECDSA, PrivateFormat.PKCS8, "BEGIN PRIVATE KEY"),
        (RSA, PrivateFormat.PKCS8, "BEGIN PRIVATE KEY"),
        (RSA, PrivateFormat.TraditionalOpenSSL, "BEGIN RSA PRIVATE KEY"),
        (ECDSA, PrivateFormat.TraditionalOpenSSL, "BEGIN EC PRIVATE KEY"),
    ],
)
def test_forms_of_keys(origin: Origin, kind: object, key_format: PrivateFormat, begins: str) -> None:
    leaf = CA.leaf("form.example", kind=kind, key_format=key_format)  # type: ignore[arg-type]
    assert begins in leaf.key.read_text()
    serves(origin, "form.example", tls_listener(leaf))


def test_key_and_chain_in_one_file(origin: Origin) -> None:
    leaf = CA.leaf("one.example")
    both = CA.folder / "both-in-one.pem"
    both.write_text(leaf.key.read_text() + leaf.certificate.read_text())
    serves(origin, "one.example", {"tls": {"certificates": [{"certificate": str(both)}]}})


# -- 421: the connection was made for another name


def test_another_hosts_name_is_misdirected(proxy: Proxy, origin: Origin) -> None:
    """RFC 9110, section 15.5.20: the connection was made for a name whose certificate does not hold this one."""
    with TlsClient(proxy.port, sni="shop.example") as client:
        response = client.ask("GET", "/misdirected", host="a.wild.example")
        assert response.status == 421
        assert "misdirected_request" in (response.fields.get("Proxy-Status") or "")
    record = proxy.record("/misdirected")
    assert (record["reason"], record["status"], record["sni"]) == ("misdirected_request", 421, "shop.example")
    assert not origin.seen("/misdirected")


def test_another_hosts_name_over_http2(proxy: Proxy, origin: Origin) -> None:
    with Http2Client(proxy.port, sni="shop.example", authority="shop.example") as client:
        assert client.ask("GET", "/m2", authority="both.example").status == 421
        assert client.ask("GET", "/m2-after").status == 200, "the connection goes on for its own name"
    assert not origin.seen("/m2")


@pytest.mark.parametrize("host", ["www.shop.example", "SHOP.EXAMPLE", "shop.example:443", "shop.example."])
def test_coalescing_on_a_certificate_that_holds_both_names(proxy: Proxy, host: str) -> None:
    """RFC 9113, section 9.1.1: browsers ask for several names over one connection."""
    with Http2Client(proxy.port, sni="shop.example") as client:
        assert client.ask("GET", "/coalesced", authority=host).status == 200


def test_a_client_without_a_server_name_is_not_misdirected(proxy: Proxy) -> None:
    """It told no name that could differ: clients that connect to an address, health checks."""
    with TlsClient(proxy.port, sni=None, context=client_context(verify=False)) as client:
        assert client.ask("GET", "/nameless", host="whatever.example").status == 200


# -- the program `openssl`, which lets a client choose its signature algorithms


def s_client(port: int, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *arguments],
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("no openssl here: the choice by signature algorithms was NOT tested")
    return done.stdout


def first_certificate(output: str) -> str:
    assert "-----BEGIN CERTIFICATE-----" in output, output[-2000:]
    body = output.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END CERTIFICATE-----")[0]
    return f"-----BEGIN CERTIFICATE-----{body}-----END CERTIFICATE-----\n"
