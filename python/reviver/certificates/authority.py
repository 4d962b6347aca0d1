"""The local authority of `tls: {internal: true}`: made once for a storage, trusted by whoever installs it.

The engine mints the certificates; what is kept is the authority alone.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reviver.certificates.facts import Pair, pair
from reviver.certificates.storage import Storage
from reviver.errors import OperationError

CERTIFICATE, KEY, LOCK = "internal/ca.pem", "internal/ca.key", "internal/ca"
YEARS = 10
LONGEST_COMMON_NAME = 64
"""Characters, by RFC 5280, appendix A.1."""


def path(storage: Storage) -> Path:
    """Where its certificate is: the file that clients are told to trust."""
    return storage.path(CERTIFICATE)


def load(storage: Storage) -> Pair | None:
    """The authority of a storage, or None where none was made yet. Raises OperationError."""
    chain, key = storage.read(CERTIFICATE), storage.read(KEY)
    if chain is None or key is None:
        return None
    try:
        return pair(str(path(storage)), key + chain)
    except ValueError as error:
        raise OperationError(
            f"the local authority in {path(storage).parent} is damaged: {error}; remove the folder to have a new one"
        ) from error


def ensure(storage: Storage, pause: Callable[[float], None], now: datetime | None = None) -> tuple[Pair, bool]:
    """The authority of a storage and whether it was made just now: the first time, and when the old one has ended.

    Raises OperationError.
    """
    now = now or datetime.now(UTC)
    storage.prepare()
    with storage.lock(LOCK, pause):
        found = load(storage)
        if found is not None and found.facts.not_after > now:
            return found, False
        chain, key = make(now, os.uname().nodename)
        # without its certificate a key is nothing; with another's it would be refused
        storage.remove(CERTIFICATE)
        storage.write(KEY, key)
        storage.write(CERTIFICATE, chain)
        return pair(str(path(storage)), key + chain), True


def make(now: datetime, host: str) -> tuple[str, str]:
    """A new authority that signs certificates and no other authority: certificate and key as PEM text."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    common_name = f"Reviver local authority {host}"[:LONGEST_COMMON_NAME]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=True,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # clocks differ
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365 * YEARS + YEARS // 4))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, SHA256())
    )
    return (
        certificate.public_bytes(Encoding.PEM).decode(),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    )
