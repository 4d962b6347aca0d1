"""Limits and identities."""

import os
import pwd
import resource
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from reviver.control import privileges
from reviver.errors import OperationError

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
NOBODY = pwd.getpwnam("nobody")


def _in_child(work: Callable[[], bool]) -> bool:
    """Runs `work` in a child, where it may give up what it likes."""
    pid = os.fork()
    if pid == 0:
        good = False
        try:
            good = work()
        finally:
            os._exit(0 if good else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_file_limit_is_raised_to_the_hard_one() -> None:
    def work() -> bool:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = min(hard, 4096)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, wanted))
        return privileges.raise_file_limit() == wanted == resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    assert _in_child(work)


def test_nothing_is_asked_nothing_changes() -> None:
    assert privileges.identity(None, None) is None
    assert privileges.identity(str(os.geteuid()), str(os.getegid())) is None


def test_unknown_names_are_said() -> None:
    with pytest.raises(OperationError, match="no user 'nobody-at-all'"):
        privileges.identity("nobody-at-all", None)
    with pytest.raises(OperationError, match="no group 'nogroup-at-all'"):
        privileges.identity(None, "nogroup-at-all")


@root_only
def test_the_group_is_the_users_own_by_default() -> None:
    found = privileges.identity("nobody", None)
    assert found is not None
    assert (found.uid, found.gid) == (NOBODY.pw_uid, NOBODY.pw_gid)
    assert found == privileges.identity(str(NOBODY.pw_uid), None)


@root_only
def test_who_is_not_root_cannot_become_another() -> None:
    def work() -> bool:
        os.setresuid(12345, 12345, 12345)
        try:
            privileges.identity("nobody", None)
        except OperationError as error:
            return "only root can run as nobody" in str(error)
        return False

    assert _in_child(work)


@root_only
def test_every_thread_gives_up_root_for_good() -> None:
    identity = privileges.identity("nobody", None)
    assert identity is not None

    def work() -> bool:
        there, go_on = threading.Event(), threading.Event()
        seen: list[str] = []

        def other() -> None:
            there.set()
            go_on.wait()
            seen.append(Path(f"/proc/self/task/{threading.get_native_id()}/status").read_text())

        thread = threading.Thread(target=other)
        thread.start()
        there.wait()
        privileges.drop(identity)
        go_on.set()
        thread.join()
        uid = NOBODY.pw_uid
        if f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}" not in seen[0] or "CapEff:\t0000000000000000" not in seen[0]:
            return False
        try:
            os.setuid(0)
        except PermissionError:
            return 0 not in os.getgroups()
        return False

    assert _in_child(work)


@root_only
def test_files_are_handed_over_but_links_are_not_followed(tmp_path: Path) -> None:
    identity = privileges.identity("nobody", None)
    assert identity is not None
    log, target, link = tmp_path / "a.log", tmp_path / "passwd", tmp_path / "link.log"
    folder = tmp_path / "own"
    folder.mkdir()
    log.touch()
    target.touch()
    link.symlink_to(target)
    privileges.hand_over([log, link, folder], identity)
    for path in (log, folder):
        assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY.pw_uid, NOBODY.pw_gid)
    assert target.stat().st_uid == 0
    with pytest.raises(OperationError, match=r"cannot give .*missing\.log to nobody"):
        privileges.hand_over([tmp_path / "missing.log"], identity)
