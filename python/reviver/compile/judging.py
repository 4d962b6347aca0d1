"""Whether anybody would accept a certificate. It is served either way, so that a proxy starts after one has expired."""

from datetime import datetime, timedelta
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from reviver.compile.files import Files
from reviver.config import KeyPath

__all__ = ["MALFORMED", "judge", "out_of_date"]

MALFORMED = (
    ValueError,
    KeyError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises on malformed input; KeyError and TypeError on names of a type that it does not expect."""
_WEAK_HASHES = (hashes.MD5, hashes.SHA1)
_SOON = timedelta(days=14)


def judge(files: Files, at: KeyPath, path: str, chain: list[x509.Certificate], now: datetime, *, serves: bool) -> None:
    """Warns of what nobody would accept, and advises on what some would not, or not for long.

    `serves`: it is shown to clients, not to servers.
    """
    for number, certificate in enumerate(chain, 1):
        which = f"the certificate in {path}" if number == 1 else f"certificate {number} in {path}"
        if doubt := out_of_date(which, certificate.not_valid_before_utc, certificate.not_valid_after_utc, now):
            files.warn(at, *doubt)
        try:
            signed = certificate.signature_hash_algorithm
        except UnsupportedAlgorithm:
            signed = None
        if isinstance(signed, _WEAK_HASHES) and certificate.issuer != certificate.subject:
            files.warn(at, f"{which} is weak: it is signed with {signed.name.upper()}", "get a new one")
    leaf = chain[0]
    left = leaf.not_valid_after_utc - now
    # of a short life the last sixth, as `reviver certificates` has it
    if timedelta(0) <= left < min(_SOON, (leaf.not_valid_after_utc - leaf.not_valid_before_utc) / 6):
        files.advise(at, f"the certificate in {path} expires soon: {leaf.not_valid_after_utc:%Y-%m-%d %H:%M}Z")
    for number, (certificate, issuer) in enumerate(pairwise(chain), 1):
        if not _issued(certificate, issuer):
            files.advise(
                at,
                f"certificate {number + 1} in {path} is not the issuer of the one before it",
                "put the certificate first, then its issuer, then the issuer of that",
            )
            break
    if serves:
        for sentence, hint in _of_servers(leaf):
            files.advise(at, f"the certificate in {path} {sentence}", hint)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except InvalidSignature:
        return False
    except MALFORMED:
        # also where the names differ
        return certificate.issuer == issuer.subject
    return True


def _of_servers(leaf: x509.Certificate) -> list[tuple[str, str]]:
    """Why browsers would refuse it as a server's, with hints."""
    found: list[tuple[str, str]] = []
    try:
        extensions = leaf.extensions
    except MALFORMED:
        return found
    kinds = {type(extension.value): extension.value for extension in extensions}
    if x509.SubjectAlternativeName not in kinds:
        found.append(("has no subject alternative name, and clients look nowhere else", "get one that names its hosts"))
    usage = kinds.get(x509.ExtendedKeyUsage)
    if isinstance(usage, x509.ExtendedKeyUsage) and not {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    } & set(usage):
        found.append(("is not for servers: its extended key usage lacks serverAuth", "get one that has it"))
    basic = kinds.get(x509.BasicConstraints)
    if isinstance(basic, x509.BasicConstraints) and basic.ca:
        found.append(("is that of an authority, which many clients refuse as a server's", "have it sign another one"))
    return found


def out_of_date(which: str, since: datetime, until: datetime, now: datetime) -> tuple[str, str | None] | None:
    """Why it would be refused for its dates, with a hint. `which` begins the sentence."""
    if until < now:
        return f"{which} has expired: it was valid until {until:%Y-%m-%d %H:%M}Z", None
    if since > now:
        return f"{which} is not valid yet: it is from {since:%Y-%m-%d %H:%M}Z on", "is the clock right?"
    return None
