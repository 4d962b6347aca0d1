"""The part of a configuration that the control plane itself obeys; the rest goes to the engine as the plan."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reviver.config import Loaded


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved for this machine."""

    user: str | None
    group: str | None
    socket: Path | None
    """Absolute path of the control socket, or None for the default place."""
    drain: float
    """Seconds that flows in flight get when the proxy ends."""

    @classmethod
    def of(cls, loaded: "Loaded") -> "Settings":
        """Takes them out of a loaded configuration."""
        config = loaded.config
        socket = config.control.socket
        return cls(
            user=config.user,
            group=config.group,
            socket=None if socket is None else Path(loaded.base, socket),
            drain=config.timeout.drain / 1000,
        )

    def only_at_start(self, later: "Settings") -> list[str]:
        """Keys that differ from `later` and that a reload cannot change."""
        pairs = {
            "user": (self.user, later.user),
            "group": (self.group, later.group),
            "control.socket": (self.socket, later.socket),
        }
        return [key for key, (here, there) in pairs.items() if here != there]
