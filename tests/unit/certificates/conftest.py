"""What tests of certificates share."""

import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def as_nobody(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Becomes nobody when called, until the test's end."""
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)

    def become() -> None:
        nobody = pwd.getpwnam("nobody")
        os.setegid(nobody.pw_gid)
        os.seteuid(nobody.pw_uid)

    uid, gid = os.geteuid(), os.getegid()
    yield become
    os.seteuid(uid)
    os.setegid(gid)
