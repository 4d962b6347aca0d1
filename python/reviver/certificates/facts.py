"""What a certificate says of itself, and whether a key belongs to it."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----\n?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Facts:
    """Of the first certificate of a chain."""

    names: tuple[str, ...]
    """The hosts that it is for; its subject where it names none."""
    issuer: str
    key: str
    """Kind of its key, such as `ECDSA P-256`."""
    not_before: datetime
    not_after: datetime
    serial: int
    fingerprint: str
    """SHA-256, lower-case hexadecimal."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A chain and its key, as PEM text."""

    name: str
    """What a person knows it by: its file."""
    chain: str
    key: str
    facts: Facts

    def __repr__(self) -> str:
        return f"Pair({self.name!r})"


def facts(chain: str) -> Facts:
    """Reads the first certificate of a PEM text. Raises ValueError."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    certificate = x509.load_pem_x509_certificate(chain.encode())
    return Facts(
        names=_names(certificate),
        issuer=_shown(certificate.issuer),
        key=key_kind(certificate.public_key()),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        serial=certificate.serial_number,
        fingerprint=certificate.fingerprint(SHA256()).hex(),
    )


def pair(name: str, text: str) -> Pair:
    """A chain and its key from one PEM text, both written anew.

    Raises ValueError, also where they do not belong together; it never quotes the text.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    chain, key = "", ""
    for block in _BLOCK.finditer(text):
        if block[1].endswith("PRIVATE KEY"):
            key += block[0]
        elif block[1] == "CERTIFICATE":
            chain += block[0]
    if not chain or not key:
        raise ValueError("it lacks its certificate or its key")
    try:
        certificates = x509.load_pem_x509_certificates(chain.encode())
        private = load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError):
        raise ValueError("its certificate or its key is malformed") from None
    if private.public_key() != certificates[0].public_key():
        raise ValueError("its key belongs to another certificate")
    chain = "".join(item.public_bytes(Encoding.PEM).decode() for item in certificates)
    key = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Pair(name, chain, key, facts(chain))


def key_kind(key: "PublicKeyTypes") -> str:
    """What a person calls a kind of key."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        curves = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
        return f"ECDSA {curves.get(key.curve.name, key.curve.name)}"
    return type(key).__name__.strip("_").removesuffix("PublicKey")


def covers(held: tuple[str, ...], name: str) -> bool:
    """Whether one of the names of a certificate fits a host (RFC 6125, section 6.4.3)."""
    parent = name.partition(".")[2]
    return any(item.lower() in (name, f"*.{parent}" if parent else name) for item in held)


def _names(certificate: "x509.Certificate") -> tuple[str, ...]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        found: list[str] = []
    else:
        found = [*names.get_values_for_type(x509.DNSName)]
        found += [str(address) for address in names.get_values_for_type(x509.IPAddress)]
        found += names.get_values_for_type(x509.RFC822Name)
    return tuple(found) or (_shown(certificate.subject),)


def _shown(name: "x509.Name") -> str:
    """The common name with the organization behind it, or the whole name (RFC 4514)."""
    from cryptography.x509.oid import NameOID

    common = [str(item.value) for item in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
    organization = [str(item.value) for item in name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if common and organization and organization[0] not in common[0]:
        return f"{common[0]} ({organization[0]})"
    return common[0] if common else name.rfc4514_string()
