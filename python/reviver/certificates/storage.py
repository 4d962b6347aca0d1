"""The folder in which certificates are kept: private, written atomically, shared by proxies under a lock.

    automatic/NAME.pem    key and chain in one file, so that no moment has one without the other
    automatic/NAME.json   how often obtaining it failed, and when it is tried again
    accounts/NAME.key     an account's key; NAME.json beside it has its URL
    internal/ca.pem       the local authority; its key is in ca.key

Each NAME has a NAME.lock. Folders made here have mode 0700, files 0600.
"""

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reviver.errors import OperationError

FOLDERS = ("accounts", "automatic", "internal")
TRY_EVERY = 0.5
"""Seconds between attempts at a lock that another proxy holds."""


def default_folder(environ: Mapping[str, str] | None = None, *, uid: int | None = None) -> Path:
    """Where certificates are kept when the configuration does not say.

    In `$STATE_DIRECTORY` (given by systemd), `$XDG_STATE_HOME/reviver`, for root `/var/lib/reviver`, and for others
    `~/.local/state/reviver`.
    """
    environ = os.environ if environ is None else environ
    uid = os.geteuid() if uid is None else uid
    if state := environ.get("STATE_DIRECTORY"):
        base = Path(state.split(":")[0])
    elif xdg := environ.get("XDG_STATE_HOME"):
        base = Path(xdg, "reviver")
    elif uid == 0:
        base = Path("/var/lib/reviver")
    else:
        base = Path(environ.get("HOME") or Path.home(), ".local", "state", "reviver")
    return base / "certificates"


class Storage:
    """One such folder. Names are paths in it, such as `automatic/www.example.com-1f2e3d4c5b`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Storage) and self.folder == other.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    def prepare(self) -> None:
        """Makes the folder, or checks that this process can use it. Raises OperationError."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = self.folder.stat().st_mode
        except OSError as error:
            raise self._unusable(error) from error
        if mode & 0o022:
            raise OperationError(f"storage {self.folder} can be written to by others; chmod go-w {self.folder}")
        if not os.access(self.folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
            raise OperationError(f"storage {self.folder} cannot be written to")

    def path(self, name: str) -> Path:
        """The absolute path of what has that name."""
        return self.folder / name

    def read(self, name: str) -> str | None:
        """The text of a file, or None where there is none. Raises OperationError."""
        try:
            return self.path(name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise self._unusable(error, name) from error

    def write(self, name: str, text: str) -> None:
        """Writes a file in one step, readable by its owner alone. Raises OperationError."""
        path = self.path(name)
        try:
            self._make(path.parent)
            descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                Path(part).replace(path)
            except BaseException:
                Path(part).unlink(missing_ok=True)
                raise
            _sync(path.parent)
        except OSError as error:
            raise self._unusable(error, name) from error

    def remove(self, name: str) -> None:
        """Removes a file, where there is one. Raises OperationError."""
        try:
            self.path(name).unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error, name) from error

    def read_table(self, name: str) -> dict[str, Any]:
        """The JSON object in a file; an empty one where there is none, or nothing that can be read as one."""
        try:
            value = json.loads(self.read(name) or "{}")
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def write_table(self, name: str, table: Mapping[str, Any]) -> None:
        """Writes a JSON object. Raises OperationError."""
        self.write(name, json.dumps(table, indent=1) + "\n")

    def names(self, folder: str, ending: str) -> list[str]:
        """The names of the files in a folder that end so, in order."""
        try:
            found = sorted(path.name for path in self.path(folder).iterdir())
        except OSError:
            return []
        return [f"{folder}/{name}" for name in found if name.endswith(ending) and not name.startswith(".")]

    @contextlib.contextmanager
    def lock(self, name: str, pause: Callable[[float], None]) -> Iterator[None]:
        """Keeps other processes and threads from the same name. `pause` waits, and may raise to give up.

        The lock is the kernel's (flock(2)): it ends with the process that holds it, and the file stays.
        """
        path = self.path(f"{name}.lock")
        try:
            self._make(path.parent)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise self._unusable(error, name) from error
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    pause(TRY_EVERY)
                except OSError as error:
                    raise self._unusable(error, name) from error
            yield
        finally:
            os.close(descriptor)

    def _make(self, folder: Path) -> None:
        """A folder of ours inside of the storage."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder != self.folder and folder.stat().st_mode & 0o077:
            folder.chmod(0o700)

    def _unusable(self, error: Exception, name: str = "") -> OperationError:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return OperationError(f"storage {self.path(name) if name else self.folder}: {reason}")


def _sync(folder: Path) -> None:
    """Makes a rename survive a loss of power, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
