"""Hashes that htpasswd, crypt(3) and openssl wrote."""

import subprocess
import sys

import pytest

from reviver.control.passwords import check_password

HASHES = {
    "bcrypt": "$2y$04$5ZCyPN4mYlVdY8FndN6AhugSiT7d9vrL7ejTO8JycGJL.fToNbo0G",
    "apr1": "$apr1$abcdefgh$T64oOxnD8c28.dQa.2Lty1",
    "sha": "{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=",
    "sha512": "$6$abcdefgh$CkjGkP7IIgZVUCNlt.Vi53LOYJLXZ5KzdpzEYCj01XGruA1hxZYJqccTU2zz68oJwAGsd1iPty5F7dHIatUTy/",
}


@pytest.mark.parametrize("kind", HASHES)
def test_only_the_right_password_fits(kind: str) -> None:
    assert check_password(HASHES[kind], b"open sesame")
    for wrong in (b"", b"open sesam", b"open sesame ", b"Open sesame", b"open sesame\0", b"\xff\xfe"):
        assert not check_password(HASHES[kind], wrong)


@pytest.mark.parametrize(
    "hashed", ["", "open sesame", "$2y$99$" + "." * 53, "$2x$04$" + "." * 53, "{SHA}short", "$6$", "$7$x$y"]
)
def test_what_is_no_hash_fits_nothing(hashed: str) -> None:
    assert not check_password(hashed, b"open sesame")
    assert not check_password(hashed, hashed.encode())


def test_bcrypt_looks_at_72_bytes_as_htpasswd_does() -> None:
    import bcrypt

    hashed = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert check_password(hashed, b"x" * 100)
    assert not check_password(hashed, b"x" * 71)


def test_after_loading_a_check_imports_nothing_more() -> None:
    code = (
        "import sys; from reviver.control import passwords; passwords.load(); before = set(sys.modules)\n"
        f"for hashed in {list(HASHES.values())!r}: assert passwords.check_password(hashed, b'open sesame')\n"
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert done.stderr == ""
