"""What the process may do: file descriptors to the limit, and giving up root once everything is bound."""

import grp
import os
import pwd
import resource
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reviver.errors import OperationError


def raise_file_limit() -> int:
    """Raises RLIMIT_NOFILE to its hard limit and returns what is then allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return soft
    return hard


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom to become."""

    user: str
    uid: int
    group: str
    gid: int

    def __str__(self) -> str:
        return f"{self.user}:{self.group}"


def identity(user: str | None, group: str | None) -> Identity | None:
    """The identity that `user:` and `group:` name (names or numbers), or None where there is nothing to change.

    `group` left out is the user's own. Raises OperationError: an unknown name, or the process is not root and may
    not become somebody else.
    """
    if user is None and group is None:
        return None
    account = _account(user) if user is not None else pwd.getpwuid(os.geteuid())
    team = _group(group if group is not None else str(account.pw_gid))
    wanted = Identity(account.pw_name, account.pw_uid, team.gr_name, team.gr_gid)
    if (wanted.uid, wanted.gid) == (os.geteuid(), os.getegid()):
        return None
    if os.geteuid() != 0:
        raise OperationError(f"only root can run as {wanted}; start as root or leave out user and group")
    return wanted


def hand_over(paths: Iterable[Path], to: Identity) -> None:
    """Gives files, sockets and folders to the identity. Links and devices are left alone."""
    for path in paths:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise OperationError(f"cannot give {path} to {to}: {error.strerror}") from error
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISREG(mode) or stat.S_ISSOCK(mode) or stat.S_ISDIR(mode):
                os.chown(f"/proc/self/fd/{descriptor}", to.uid, to.gid)
        except OSError as error:
            raise OperationError(f"cannot give {path} to {to}: {error.strerror}") from error
        finally:
            os.close(descriptor)


def give_folder(folder: Path, own: Callable[[str], bool], to: Identity) -> None:
    """Makes a folder that belongs to the identity, or gives one of root's to it, with all in it.

    One that holds names that are not its `own`, or is not root's alone, is left as it is. Raises OperationError.
    """
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            # the ones around it are passed through
            path.mkdir(mode=0o700 if path == folder else 0o755)
            path.chmod(0o700 if path == folder else 0o755)
        found = folder.lstat()
        inside = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise OperationError(f"cannot make {folder} for {to}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022 or not all(map(own, inside)):
        return
    # nobody but root can have put anything there
    paths = [Path(parent, name) for parent, folders, files in os.walk(folder) for name in (*folders, *files)]
    hand_over([*reversed(paths), folder], to)


@contextmanager
def acting_as(to: Identity | None) -> Iterator[None]:
    """Reads and writes files as the identity would, for a while; before there are other threads."""
    if to is None:
        yield
        return
    groups, gid, uid = os.getgroups(), os.getegid(), os.geteuid()
    try:
        os.initgroups(to.user, to.gid)
        os.setegid(to.gid)
        os.seteuid(to.uid)
    except OSError as error:
        raise OperationError(f"cannot become {to}: {error.strerror}") from error
    try:
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)
        os.setgroups(groups)


def drop(to: Identity) -> None:
    """Becomes the identity, in every thread and for good. Raises OperationError."""
    try:
        os.initgroups(to.user, to.gid)
        os.setresgid(to.gid, to.gid, to.gid)
        os.setresuid(to.uid, to.uid, to.uid)
    except OSError as error:
        raise OperationError(f"cannot become {to}: {error.strerror}") from error
    if to.uid != 0 and (os.getresuid() != (to.uid,) * 3 or os.getresgid() != (to.gid,) * 3):
        raise OperationError(f"the process did not become {to}")


def _account(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError as error:
        raise OperationError(f"user: there is no user {name!r} on this machine") from error


def _group(name: str) -> grp.struct_group:
    try:
        return grp.getgrgid(int(name)) if name.isdecimal() else grp.getgrnam(name)
    except KeyError as error:
        raise OperationError(f"group: there is no group {name!r} on this machine") from error
