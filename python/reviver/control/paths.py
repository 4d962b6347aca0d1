"""Where the control socket is, for the proxy that makes it and for the commands that look for it.

The default is a file named after the configuration's absolute path, in the first of these folders:
`$RUNTIME_DIRECTORY` (given by systemd), `$XDG_RUNTIME_DIR/reviver`, `/run/user/UID/reviver`, for root
`/run/reviver`, and `reviver-UID` under the folder for temporary files.
"""

import hashlib
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from reviver.errors import OperationError

SUFFIX = ".sock"
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


def file_name(identity: str) -> str:
    """The socket's name for a configuration's absolute path, or another stable text."""
    return hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:16] + SUFFIX


def identity_of(configuration: Path) -> str:
    """What a configuration file is known by: its absolute path, links not followed."""
    return os.path.abspath(configuration)


def choose(identity: str, *, shared: bool = False) -> Path:
    """The socket path that a proxy takes: in the first folder that exists or can be made, private to its user.

    `shared`: the proxy will give up root, so the folder may be passed through (not listed) by the socket's owner;
    then folders inside other private folders are of no use. Raises OperationError where no folder will do.
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
        return folder / file_name(identity)
    raise OperationError(
        f"no folder for the control socket ({'; '.join(reasons)}); set control.socket in the configuration"
    )


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
    """Existing sockets of that identity, in the order of the folders."""
    name = file_name(identity)
    return [path for folder in folders() if (path := folder / name).is_socket()]


def find_all() -> list[Path]:
    """Every existing default socket of this user."""
    found: list[Path] = []
    for folder in folders():
        try:
            found.extend(sorted(path for path in folder.iterdir() if path.suffix == SUFFIX and path.is_socket()))
        except OSError:
            continue
    return found


def check_length(path: Path) -> None:
    """Raises OperationError where a path is too long for a unix socket."""
    if len(os.fsencode(path)) > LONGEST:
        raise OperationError(f"the control socket's path is longer than {LONGEST} bytes: {path}")
