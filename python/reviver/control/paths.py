"""Where the control socket is, for the proxy that makes it and for the commands that look for it.

The default is a file named after the configuration's absolute path, in the first of these folders:
`$RUNTIME_DIRECTORY` (given by systemd), `$XDG_RUNTIME_DIR/reviver`, `/run/user/UID/reviver`, for root
`/run/reviver`, and `reviver-UID` under the folder for temporary files. For a proxy that gives up root it is
`control.sock` in a folder of that name, which is given to the proxy's user: only who owns a socket's folder can
remove the socket.
"""

import hashlib
import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from reviver.errors import OperationError

SUFFIX = ".sock"
OWN_NAME = "control.sock"
"""The socket's name in a folder of its own."""
LONGEST = 107
"""Bytes in the path of a unix socket: `sun_path` less its final zero, see unix(7)."""


def folders(environ: Mapping[str, str] | None = None, *, uid: int | None = None) -> list[Path]:
    """The folders that may hold default sockets, in the order in which they are tried."""
    environ = os.environ if environ is None else environ
    uid = os.geteuid() if uid is None else uid
    found: list[Path] = []
    if runtime := environ.get("RUNTIME_DIRECTORY"):
        found.append(Path(runtime.split(":")[0]))
    if xdg := environ.get("XDG_RUNTIME_DIR"):
        found.append(Path(xdg) / "reviver")
    found.append(Path(f"/run/user/{uid}/reviver"))
    if uid == 0:
        found.append(Path("/run/reviver"))
    found.append(Path(tempfile.gettempdir()) / f"reviver-{uid}")
    return list(dict.fromkeys(found))


def name_of(identity: str) -> str:
    """The name for a configuration's absolute path, or another stable text; the socket's less its suffix."""
    return hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def identity_of(configuration: Path) -> str:
    """What a configuration file is known by: its absolute path, links not followed."""
    return os.path.abspath(configuration)


def choose(identity: str, *, shared: bool = False) -> Path:
    """The socket path that a proxy takes: in the first folder that exists or can be made, private to its user.

    `shared`: the proxy will give up root, so the socket is in a folder of its own, and the folder around that may
    be passed through (not listed) by others; folders inside other private folders are of no use then.
    Raises OperationError where no folder will do.
    """
    reasons: list[str] = []
    for folder in folders():
        if shared and folder.parts[:3] == ("/", "run", "user"):
            continue
        if not folder.parent.is_dir():
            continue
        try:
            secure_folder(folder, mode=0o711 if shared else 0o700)
        except (OSError, OperationError) as error:
            reasons.append(str(error))
            continue
        name = name_of(identity)
        return folder / name / OWN_NAME if shared else folder / (name + SUFFIX)
    raise OperationError(
        f"no folder for the control socket ({'; '.join(reasons)}); set control.socket in the configuration"
    )


def take_back(folder: Path) -> None:
    """Makes the folder of one socket root's again, until it is given to the proxy's user.

    Nobody can have replaced it, since the folder around it is root's. Raises OSError or OperationError.
    """
    os.chown(folder, os.geteuid(), os.getegid(), follow_symlinks=False)
    if stat.S_ISDIR(folder.lstat().st_mode):
        folder.chmod(0o700)
    secure_folder(folder)


def secure_folder(folder: Path, *, mode: int = 0o700) -> None:
    """Makes a folder that only its owner can write to, or checks that it is one.

    Raises OSError or OperationError: somebody else's folder would let them put another socket there.
    """
    folder.mkdir(mode=mode, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (0, os.geteuid()):
        raise OperationError(f"{folder} belongs to somebody else")
    if found.st_mode & 0o022:
        raise OperationError(f"{folder} can be written to by others")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} cannot be written to")
    if mode & ~found.st_mode & 0o777:
        folder.chmod(mode)


def find(identity: str) -> list[Path]:
    """Sockets of that identity, living or left behind, in the order of the folders."""
    name = name_of(identity)
    both = [path for folder in folders() for path in (folder / (name + SUFFIX), folder / name / OWN_NAME)]
    return [path for path in both if _is_socket(path)]


def find_all() -> list[Path]:
    """Every default socket of this user, living or left behind."""
    found: list[Path] = []
    for folder in folders():
        for pattern in ("*" + SUFFIX, "*/" + OWN_NAME):
            with suppress(OSError):
                found.extend(path for path in sorted(folder.glob(pattern)) if _is_socket(path))
    return found


def _is_socket(path: Path) -> bool:
    try:
        return path.is_socket()
    except OSError:
        # in a folder that is somebody else's
        return False


def check_length(path: Path) -> None:
    """Raises OperationError where a path is too long for a unix socket."""
    if len(os.fsencode(path)) > LONGEST:
        raise OperationError(f"the control socket's path is longer than {LONGEST} bytes: {path}")
