"""Checks passwords against the hashes of an htpasswd file, for the engine.

The engine calls from threads that may block, remembers the answers, and so asks once for each pair.
"""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from passlib.context import CryptContext

SCHEMES = ("bcrypt", "apr_md5_crypt", "md5_crypt", "ldap_sha1", "sha256_crypt", "sha512_crypt")
"""What `htpasswd` and crypt(3) write. Passwords in clear are not among them."""
BCRYPT_LONGEST = 72
"""Bytes of a password that bcrypt looks at; htpasswd drops the rest, so do we."""


def check_password(hashed: str, password: bytes) -> bool:
    """Whether the password fits the hash. A hash or password that cannot be checked fits nothing."""
    if hashed.startswith("$2"):
        password = password[:BCRYPT_LONGEST]
    try:
        return bool(_context().verify(password, hashed))
    except (ValueError, TypeError):
        return False


@cache
def _context() -> "CryptContext":
    import warnings

    from passlib.context import CryptContext

    # Advice about hashes that are odd but sound, and about Python's own crypt module, is not for our stderr.
    warnings.filterwarnings("ignore", module=r"passlib\.")
    return CryptContext(list(SCHEMES))


def load() -> None:
    """Loads what checking needs, every scheme's code included, so that later nothing is imported any more."""
    for hashed in (
        "$2b$04$......................QKV0fvvUcE9L0UYk.vCFSCCy2dBwDZ.",
        "$apr1$........$......................",
        "$1$........$......................",
        "{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "$5$rounds=1000$........$...........................................",
        "$6$rounds=1000$........$......................................................................................",
    ):
        check_password(hashed, b"")
