"""Password files as `htpasswd` writes them: one `user:hash` a line."""

import re

from reviver.errors import Diagnostic

__all__ = ["parse_htpasswd"]

# bcrypt, Apache's MD5, SHA-1, and the hashes of crypt(3): MD5, SHA-256, SHA-512
_HASH = re.compile(
    r"\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}"
    r"|\$(?:apr1|1)\$[^$:]{0,8}\$[./A-Za-z0-9]{22}"
    r"|\{SHA\}[A-Za-z0-9+/]{27}="
    r"|\$5\$(?:rounds=[0-9]+\$)?[^$:]{0,16}\$[./A-Za-z0-9]{43}"
    r"|\$6\$(?:rounds=[0-9]+\$)?[^$:]{0,16}\$[./A-Za-z0-9]{86}"
)


def parse_htpasswd(text: str, file: str) -> tuple[dict[str, str], list[Diagnostic]]:
    """Users and their hashes, and what is wrong with the file's lines. Empty lines and `#` lines are skipped."""
    users: dict[str, str] = {}
    diagnostics: list[Diagnostic] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, hashed = line.strip().partition(":")
        sentence = hint = None
        if not colon or not user:
            sentence, hint = "not of the form user:hash", "make it with htpasswd -B FILE USER"
        elif user in users:
            sentence = f"the user {user} is here twice"
        elif not _HASH.fullmatch(hashed):
            # the line is not shown: it may well be a password in clear
            sentence, hint = f"the hash of {user} is of no known kind", "bcrypt, apr1, sha or crypt: htpasswd -B"
        if sentence:
            diagnostics.append(Diagnostic(file, number, 0, "", sentence, hint))
        else:
            users[user] = hashed
    return users, diagnostics
