"""tls-alpn-01 (RFC 8737), which the ACME library leaves out: the challenge, and the certificate that answers it."""

from datetime import datetime, timedelta
from typing import Any

from acme import challenges
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from josepy.jwk import JWK

from reviver.certificates.wants import ALPN

IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
"""id-pe-acmeIdentifier, RFC 8737, section 6.1."""


@challenges.ChallengeResponse.register
class TLSALPN01Response(challenges.KeyAuthorizationChallengeResponse):
    """Tells the server that the proof is there."""

    typ = ALPN


@challenges.Challenge.register
class TLSALPN01(challenges.KeyAuthorizationChallenge):
    """The challenge as the server offers it."""

    typ = ALPN
    response_cls = TLSALPN01Response

    def validation(self, account_key: JWK, **_: Any) -> str:
        """What the certificate has to carry, before it is hashed."""
        return self.key_authorization(account_key)


def certificate(name: str, key_authorization: str, now: datetime) -> tuple[str, str]:
    """A certificate that proves control over a name, and its key, as PEM text (RFC 8737, section 3)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ACME challenge")])
    digest = Hash(SHA256())
    digest.update(key_authorization.encode())
    # an OCTET STRING of 32 bytes in DER
    value = b"\x04\x20" + digest.finalize()
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.UnrecognizedExtension(IDENTIFIER, value), critical=True)
        .sign(key, SHA256())
    )
    return (
        made.public_bytes(Encoding.PEM).decode(),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    )
