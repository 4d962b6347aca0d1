"""What a configuration needs from the machine: files it refers to, the number of cores, the host's name.

This is all the I/O between a configuration and its plan.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reviver.compile.htpasswd import parse_htpasswd
from reviver.config import Loaded
from reviver.errors import ConfigurationError, Diagnostic

__all__ = ["Inputs", "gather"]

_MAX_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Inputs:
    """What was read for one configuration."""

    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Users of the forward proxy and the hashes of their passwords."""
    cpus: int = 1
    """Processor cores that this process may use."""
    hostname: str = "localhost"
    files: tuple[Path, ...] = ()
    """Absolute paths of the files that were read, for those who watch them."""


def gather(loaded: Loaded) -> Inputs:
    """Reads what a configuration refers to. Raises ConfigurationError with all that is missing or malformed."""
    users: dict[str, str] = {}
    files: list[Path] = []
    forward = loaded.config.forward
    if forward is not None and forward.auth is not None:
        path = loaded.base / forward.auth.basic
        users = _users(loaded, path)
        files.append(path)
    return Inputs(users, len(os.sched_getaffinity(0)), os.uname().nodename, tuple(files))


def _users(loaded: Loaded, path: Path) -> dict[str, str]:
    key = ("forward", "auth", "basic")
    mark = loaded.positions.mark(key)

    def refuse(sentence: str, hint: str | None = None) -> ConfigurationError:
        return ConfigurationError(
            [Diagnostic(loaded.positions.file, *mark, "forward.auth.basic", f"{path} {sentence}", hint)]
        )

    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise refuse("does not exist", "make it with htpasswd -B -c FILE USER") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise refuse(f"cannot be read: {reason}") from None
    if len(raw) > _MAX_BYTES:
        raise refuse(f"is larger than {_MAX_BYTES // 2**20} MiB")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise refuse("is not UTF-8 text") from None
    users, diagnostics = parse_htpasswd(text, str(path))
    if diagnostics:
        raise ConfigurationError(diagnostics)
    if not users:
        raise refuse("has no users", "add one with htpasswd -B FILE USER")
    return users
