"""Which certificates a configuration wants obtained."""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from reviver.certificates.storage import Storage

if TYPE_CHECKING:
    from reviver.config import Loaded

HTTP, ALPN = "http-01", "tls-alpn-01"


@dataclass(frozen=True, slots=True)
class Want:
    """One certificate, for all of its names. Equal wants share it, whichever listeners they come from."""

    names: tuple[str, ...]
    directory: str
    storage: Storage
    at: str = field(default="", compare=False)
    """Place of the configuration that asks for it."""
    email: str | None = None
    directory_ca: Path | None = None
    challenges: tuple[str, ...] = (HTTP, ALPN)
    """Ways to prove control that can work here, the preferred one first."""
    key: str = "ecdsa"
    """`ecdsa` (P-256) or `rsa` (2048 bits)."""
    external_account: tuple[str, str] | None = field(default=None, repr=False)
    """Key identifier and MAC key."""

    @property
    def name(self) -> str:
        """Its name in the storage; another set of names, kind of key or authority is another certificate."""
        digest = _digest(self.directory, self.key, *sorted(self.names))
        return f"automatic/{_plain(self.names[0])}-{digest}"

    @property
    def account(self) -> str:
        """The account's name in the storage: one for each directory, address and binding."""
        bound = self.external_account[0] if self.external_account else ""
        return f"accounts/{_plain(self.authority)}-{_digest(self.directory, self.email or '', bound)}"

    @property
    def authority(self) -> str:
        """Host and port of the directory."""
        return re.sub(r"^[a-z]+://([^/]*).*", r"\1", self.directory)

    @property
    def title(self) -> str:
        """What a person calls it: its names, not too many."""
        more = len(self.names) - 3
        return ", ".join(self.names[:3]) + (f" and {more} more" if more > 0 else "")


def wanted(loaded: "Loaded", folder: Path) -> dict[str, Want]:
    """What is wanted for each listener by its name. `folder` is the storage where none is given."""
    from reviver.config.names import automatic_domains

    listeners = loaded.config.listeners
    plain = any(item.role == "reverse" and item.tls is None for item in listeners.values())
    found: dict[str, Want] = {}
    for name, listener in listeners.items():
        if listener.tls is None or (automatic := listener.tls.automatic) is None:
            continue
        names = tuple(dict.fromkeys(automatic_domains(loaded.config, listener.tls)))
        if not names:
            continue
        bound = automatic.external_account
        found[name] = Want(
            names=names,
            directory=automatic.directory,
            storage=Storage(folder if automatic.storage is None else loaded.base / automatic.storage),
            at=loaded.positions.place(("listeners", name, "tls", "automatic")),
            email=automatic.email,
            directory_ca=None if automatic.directory_ca is None else loaded.base / automatic.directory_ca,
            # nobody answers http-01 where every listener speaks TLS
            challenges=tuple(kind for kind in automatic.challenges if plain or kind != HTTP),
            key=automatic.key,
            external_account=None if bound is None else (bound.id, bound.key),
        )
    return found


def internal(loaded: "Loaded") -> tuple[str, ...]:
    """The names of the listeners whose certificates the local authority mints."""
    listeners = loaded.config.listeners
    return tuple(name for name, item in listeners.items() if item.tls is not None and item.tls.internal)


def certificate_files(loaded: "Loaded") -> frozenset[Path]:
    """Absolute paths of the certificates, keys and authorities that a configuration names."""
    names: list[str | None] = []
    for listener in loaded.config.listeners.values():
        if (tls := listener.tls) is not None:
            names += [name for item in tls.certificates for name in (item.certificate, item.key)]
            names += [tls.client_ca, None if tls.automatic is None else tls.automatic.directory_ca]
    reverse = loaded.config.reverse
    for pool in reverse.pools.values() if reverse is not None else ():
        if pool.tls is not None:
            names += [pool.tls.ca, pool.tls.certificate, pool.tls.key]
    return frozenset(loaded.base / name for name in names if name is not None)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]


def _plain(name: str) -> str:
    """A text that is a file's name everywhere."""
    return re.sub(r"[^a-z0-9.-]", "_", name.lower())[:60].lstrip(".")
