"""The blocks of PEM files; what is no PEM file gets a reason, and the command that makes one of it."""

import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key

from reviver.compile.files import Files
from reviver.config import KeyPath

__all__ = ["Pem", "read_pem"]

_MAX_BYTES = 2**20
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s(?:(?!-----BEGIN ).)*?-----END \1-----", re.DOTALL)
_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]+-----")
_SEQUENCE = b"\x30"
"""What DER begins with."""


@dataclass(frozen=True)
class Pem:
    """The blocks of a PEM file; what stands between them is explanation (RFC 7468, section 5.2)."""

    certificates: list[str]
    keys: list[str]


def read_pem(files: Files, at: KeyPath, name: str) -> Pem | None:
    """The blocks of the file that is named at `at`, or None with an error."""
    raw = files.bytes(at, name, _MAX_BYTES)
    if raw is None:
        return None
    # between the blocks there may be names in any encoding
    text = raw.decode("latin-1")
    blocks = list(_BLOCK.finditer(text))
    path = files.path(name)
    if _BEGIN.search(_BLOCK.sub("", text)):
        files.refuse(at, f"{path} breaks off: no -----END line", "copy the whole file anew")
    elif not text.strip():
        files.refuse(at, f"{path} is empty")
    elif not blocks:
        sentence = f"{path} is not PEM text: it has no line -----BEGIN ...-----"
        files.refuse(at, sentence, f"convert it: {_conversion(raw, name)}" if raw.startswith(_SEQUENCE) else None)
    else:
        return Pem(
            [block[0] for block in blocks if block[1] in ("CERTIFICATE", "X509 CERTIFICATE")],
            [block[0] for block in blocks if block[1].endswith("PRIVATE KEY")],
        )
    return None


def _conversion(raw: bytes, name: str) -> str:
    """The command that makes PEM of a DER file."""
    try:
        x509.load_der_x509_certificate(raw)
    except ValueError:
        pass
    else:
        return f"openssl x509 -inform der -in {name} -out {name}.pem"
    try:
        load_der_private_key(raw, None)
    except TypeError:
        pass  # encrypted
    except (ValueError, UnsupportedAlgorithm):
        return f"openssl pkcs12 -in {name} -nodes -out {name}.pem"
    return f"openssl pkey -inform der -in {name} -out {name}.pem"
