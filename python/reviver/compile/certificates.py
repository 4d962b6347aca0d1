"""Certificates and keys in files: whether they can be served. What cannot be served refuses a configuration."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.utils import CryptographyDeprecationWarning

from reviver.compile.files import Files
from reviver.compile.judging import MALFORMED, judge, out_of_date
from reviver.compile.pem import Pem, read_pem
from reviver.config import KeyPath

__all__ = ["Names", "Pair", "read_authorities", "read_pair"]

_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_MIN_RSA_BITS = 2048


@dataclass(frozen=True)
class Names:
    """The hosts that a certificate is for: its subject alternative names (RFC 9525, section 6)."""

    listed: tuple[str, ...]
    """In lower case; an IPv6 address in brackets."""

    def cover(self, host: str) -> bool:
        """Whether it fits a host as a route matches it; a wildcard is fitted by any name below it."""
        if host.startswith("*."):
            return any(name == host or name.endswith(host[1:]) for name in self.listed)
        _, dot, parent = host.partition(".")
        return host in self.listed or (bool(dot) and f"*.{parent}" in self.listed)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, ready to be served: as PEM text written anew, which every reader takes."""

    name: str
    """Absolute path of the certificate's file."""
    chain: str
    key: str
    names: Names
    valid: tuple[datetime, datetime]
    """From and until when."""

    def doubt(self, now: datetime) -> tuple[str, str | None] | None:
        """Why clients would refuse it for its dates, with a hint; None where they would not."""
        return out_of_date(f"the certificate in {self.name}", *self.valid, now)


def read_pair(
    files: Files, at: tuple[KeyPath, KeyPath], certificate: str, key: str | None, now: datetime, *, serves: bool
) -> Pair | None:
    """The certificate and the key in these files, or None with errors. `at` is where each of the two is named.

    `serves`: it is shown to clients, not to servers.
    """
    at_certificate, at_key = at if key is not None else (at[0], at[0])
    pem = read_pem(files, at_certificate, certificate)
    own = pem if key is None else read_pem(files, at_key, key)
    chain = None if pem is None else _chain(files, at_certificate, files.path(certificate), pem)
    private = None if own is None else _key(files, at_key, files.path(key or certificate), own, key is None)
    if pem is None or chain is None or private is None:
        return None
    path = files.path(certificate)
    text, public = private
    if public != _public(chain[0]):
        place = next((n for n, item in enumerate(chain, 1) if _public(item) == public), None)
        files.refuse(
            at_key,
            f"the key in {files.path(key or certificate)} is not that of the certificate in {path}",
            f"it is that of certificate {place} in there, which has to stand first" if place else None,
        )
        return None
    names = _names(chain[0])
    if names is None:
        files.refuse(at_certificate, f"{path} holds a malformed certificate: its names cannot be read")
        return None
    judge(files, at_certificate, str(path), chain, now, serves=serves)
    valid = chain[0].not_valid_before_utc, chain[0].not_valid_after_utc
    return Pair(str(path), _text(chain), text, names, valid)


def read_authorities(files: Files, at: KeyPath, name: str, now: datetime) -> str | None:
    """Certificates of authorities as PEM text, or None with errors."""
    pem = read_pem(files, at, name)
    path = files.path(name)
    chain = None if pem is None else _chain(files, at, path, pem)
    if pem is None or chain is None:
        return None
    authorities = [item for item in chain if _is_authority(item)]
    if not authorities:
        files.refuse(at, f"{path} holds no certificate of an authority", "it has to be one that signs others")
        return None
    if all(item.not_valid_after_utc < now for item in authorities):
        files.warn(at, f"{path} holds only authorities whose certificates have expired")
    return _text(chain)


def _text(chain: list[x509.Certificate]) -> str:
    return "".join(item.public_bytes(Encoding.PEM).decode() for item in chain)


def _chain(files: Files, at: KeyPath, path: object, pem: Pem) -> list[x509.Certificate] | None:
    if not pem.certificates:
        files.refuse(at, f"{path} holds no certificate", "it holds a private key" if pem.keys else None)
        return None
    chain = []
    for number, block in enumerate(pem.certificates, 1):
        try:
            chain.append(_loaded(block))
        except MALFORMED:
            which = f"certificate {number} in {path}" if len(pem.certificates) > 1 else f"the certificate in {path}"
            files.refuse(at, f"{which} is malformed or of an unknown kind")
            return None
    return chain


def _loaded(block: str) -> x509.Certificate:
    """Reads all that is asked for later: the library reads most parts only then, and raises what `MALFORMED` lists."""
    with warnings.catch_warnings():
        # of serial numbers and the like, on stderr, without a word of the file
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        certificate = x509.load_pem_x509_certificate(block.encode("latin-1"))
    _public(certificate)
    _ = certificate.issuer, certificate.subject, certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return certificate


def _key(files: Files, at: KeyPath, path: object, pem: Pem, same_file: bool) -> tuple[str, bytes] | None:
    """The key as PEM text (PKCS#8), and its public half."""
    if not pem.keys:
        swapped = "it holds a certificate" if pem.certificates and not same_file else None
        files.refuse(at, f"{path} holds no private key", "name the key's file after key" if same_file else swapped)
        return None
    try:
        key = load_pem_private_key(pem.keys[0].encode("latin-1"), None)
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        public = key.public_key()
        encoded = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except TypeError:
        files.refuse(
            at,
            f"the key in {path} is encrypted, and nobody types a passphrase when a proxy starts",
            "decrypt it, readable by the proxy's user alone: openssl pkey -in FILE -out NEW",
        )
        return None
    except MALFORMED:
        files.refuse(at, f"the key in {path} is malformed or of an unknown kind")
        return None
    if isinstance(public, rsa.RSAPublicKey) and public.key_size < _MIN_RSA_BITS:
        files.refuse(at, f"the key in {path} is weak: RSA of {public.key_size} bits", "make one of 2048 bits or more")
        return None
    usable = isinstance(public, (rsa.RSAPublicKey, ed25519.Ed25519PublicKey)) or (
        isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _CURVES
    )
    if not usable:
        files.refuse(at, f"the key in {path} is of a kind that TLS is not spoken with", "use ECDSA (P-256) or RSA")
        return None
    return text, encoded


def _public(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _names(certificate: x509.Certificate) -> Names | None:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Names(())
    except MALFORMED:
        return None
    hosts = [name.lower().removesuffix(".") for name in names.get_values_for_type(x509.DNSName)]
    addresses: Iterable[object] = names.get_values_for_type(x509.IPAddress)
    return Names((*hosts, *(f"[{a}]" if ip_address(str(a)).version == 6 else str(a) for a in addresses)))


def _is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may sign others, or is a root of itself: a server's own certificate can be trusted by name."""
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return certificate.issuer == certificate.subject
    except MALFORMED:
        return False
    return basic.ca or certificate.issuer == certificate.subject
