"""What a configuration needs from the machine: files it refers to, the number of cores, the host's name.

This is all the I/O between a configuration and its plan.
"""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from reviver.compile.files import Files
from reviver.compile.gates import check_gates
from reviver.compile.htpasswd import parse_htpasswd
from reviver.compile.plan import Challenges
from reviver.config import KeyPath, Loaded
from reviver.errors import ConfigurationError, Diagnostic

if TYPE_CHECKING:
    from reviver.compile.certificates import Pair

__all__ = ["Inputs", "gather"]

_MAX_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Inputs:
    """What was read for one configuration, and what the control plane adds to it."""

    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Users of the forward proxy and the hashes of their passwords."""
    cpus: int = 1
    """Processor cores that this process may use."""
    hostname: str = "localhost"
    files: tuple[Path, ...] = ()
    """Absolute paths of the files that were read, for those who watch them."""
    certificates: Mapping[KeyPath, "Pair"] = field(default_factory=dict, repr=False)
    """Certificates with their keys, by the key path of the table that names their files."""
    authorities: Mapping[KeyPath, str] = field(default_factory=dict, repr=False)
    """Certificates of authorities as PEM text, by the key path of the key that names their file."""
    warnings: tuple[Diagnostic, ...] = ()
    """What clients would not accept, though it can be served: a check refuses it, a start or a reload does not."""
    advice: tuple[Diagnostic, ...] = ()
    """What some clients would not accept, or none before long: a warning everywhere."""
    automatic: Mapping[str, Sequence[tuple[str, str, str]]] = field(default_factory=dict, repr=False)
    """Certificates that were obtained, by listener: name, chain and key, both as PEM text."""
    internal: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    """The local authority of a listener: certificate and key, both as PEM text."""
    challenges: Challenges = field(default_factory=lambda: Challenges(http=[], alpn=[]), repr=False)
    """Proofs of control that an ACME server is about to ask for."""


def gather(loaded: Loaded, *, now: datetime | None = None) -> Inputs:
    """Reads what a configuration refers to. Raises ConfigurationError with all that is missing or malformed.

    `now` stands in for the time by which certificates are judged.
    """
    files = Files(loaded)
    users = _users(loaded, files)
    _cache_folder(loaded, files)
    check_gates(loaded, files)
    certificates: dict[KeyPath, Pair] = {}
    authorities: dict[KeyPath, str] = {}
    if _names_certificates(loaded):
        # the library takes long to load, and most commands do without
        from reviver.compile.gathering import gather_tls

        gather_tls(loaded, files, certificates, authorities, now or datetime.now(UTC))
    if files.errors:
        raise ConfigurationError(sorted(files.errors, key=_place))
    warnings, advice = (tuple(sorted(found, key=_place)) for found in (files.warnings, files.advice))
    return Inputs(
        users,
        len(os.sched_getaffinity(0)),
        os.uname().nodename,
        tuple(dict.fromkeys(files.read)),
        certificates,
        authorities,
        warnings,
        advice,
    )


def _place(diagnostic: Diagnostic) -> tuple[int, int]:
    return diagnostic.line, diagnostic.column


def _names_certificates(loaded: Loaded) -> bool:
    reverse = loaded.config.reverse
    return any(listener.tls for listener in loaded.config.listeners.values()) or (
        reverse is not None and any(pool.tls for pool in reverse.pools.values())
    )


def _cache_folder(loaded: Loaded, files: Files) -> None:
    """Whether the cache's folder can be one. The engine makes it, and does without where it cannot."""
    disk = loaded.config.cache.disk
    if disk is None:
        return
    path, key = files.path(disk.path), ("cache", "disk", "path")
    try:
        if not stat.S_ISDIR(path.stat().st_mode):
            files.refuse(key, f"{path} is not a folder")
    except FileNotFoundError:
        pass
    except NotADirectoryError:
        files.refuse(key, f"{path} cannot be a folder: what is above it is none")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        files.refuse(key, f"{path} cannot be looked at: {reason}")


def _users(loaded: Loaded, files: Files) -> dict[str, str]:
    forward = loaded.config.forward
    if forward is None or forward.auth is None:
        return {}
    key: KeyPath = ("forward", "auth", "basic")
    name = forward.auth.basic
    path = files.path(name)
    raw = files.bytes(key, name, _MAX_BYTES, "make it with htpasswd -B -c FILE USER")
    if raw is None:
        return {}
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        files.refuse(key, f"{path} is not UTF-8 text")
        return {}
    users, diagnostics = parse_htpasswd(text, str(path))
    files.errors += diagnostics
    if not users and not diagnostics:
        files.refuse(key, f"{path} has no users", "add one with htpasswd -B FILE USER")
    return users
