"""Certificates that can be served, though some clients would refuse them, or all before long."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from reviver.compile import gather
from reviver.config import Loaded
from tests.support.pem import NOW, certificate, ec_key
from tests.unit.compile.test_certificates import AT_CERTIFICATE, CA, KEY, OTHER, POOL, plan, signed, tls, told, written


def advised(loaded: Loaded) -> list[str]:
    inputs = gather(loaded, now=NOW)
    assert inputs.warnings == ()
    return [line.partition(AT_CERTIFICATE.partition(" ")[2])[2] for line in told(inputs.advice, loaded.base)]


def _made_with(*extensions: x509.ExtensionType) -> str:
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([])).serial_number(1)
    builder = builder.public_key(KEY.public_key()).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=90))
    for extension in (x509.SubjectAlternativeName([x509.DNSName("a.example")]), *extensions):
        builder = builder.add_extension(extension, False)
    return builder.sign(KEY, SHA256()).public_bytes(Encoding.PEM).decode()


SERVER, CLIENT, ANY = (
    ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
)  # fmt: skip


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (
            certificate(KEY),
            "the certificate in site.pem has no subject alternative name, and clients look nowhere else "
            "(get one that names its hosts)",
        ),
        (
            _made_with(x509.ExtendedKeyUsage([CLIENT])),
            "the certificate in site.pem is not for servers: its extended key usage lacks serverAuth "
            "(get one that has it)",
        ),
        (
            certificate(KEY, "a.example", authority=True),
            "the certificate in site.pem is that of an authority, which many clients refuse as a server's "
            "(have it sign another one)",
        ),
        (
            signed(KEY) + certificate(ec_key(), subject="ca", authority=True),
            "certificate 2 in site.pem is not the issuer of the one before it "
            "(put the certificate first, then its issuer, then the issuer of that)",
        ),
        (
            signed(KEY) + certificate(OTHER, subject="another", authority=True),
            "certificate 2 in site.pem is not the issuer of the one before it "
            "(put the certificate first, then its issuer, then the issuer of that)",
        ),
        (
            certificate(KEY, "a.example", days=(-76, 13)),
            "the certificate in site.pem expires soon: 2030-06-14 00:00Z",
        ),
    ],
    ids=["no name", "usage", "authority", "another's signature", "another's name", "soon"],
)
def test_what_some_clients_would_refuse_or_none_for_long_is_advice(tmp_path: Path, made: str, line: str) -> None:
    loaded = written(tmp_path, site_pem=made)
    assert advised(loaded) == [line]
    assert tls(plan(loaded))["certificates"][0]["chain"] == made


@pytest.mark.parametrize(
    "made",
    [
        _made_with(x509.ExtendedKeyUsage([CLIENT, SERVER])),
        _made_with(x509.ExtendedKeyUsage([ANY])),
        signed(KEY) + certificate(OTHER, subject="ca", authority=True),
        # one of a short life is renewed late
        certificate(KEY, "a.example", days=(-1, 5)),
    ],
    ids=["usage", "any usage", "chain", "short life"],
)
def test_what_is_as_it_should_be_needs_no_advice(tmp_path: Path, made: str) -> None:
    assert advised(written(tmp_path, site_pem=made)) == []


def test_what_is_shown_to_servers_needs_no_name(tmp_path: Path) -> None:
    made = certificate(KEY, authority=True)
    inputs = gather(written(tmp_path, POOL, ca_pem=CA, site_pem=made), now=NOW)
    assert (inputs.warnings, inputs.advice) == ((), ())
