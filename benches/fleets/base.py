"""What is in front of several servers: a peer, and how it chooses among them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from benches.peers import Launch, Mode, Peer

# so that a hash by path divides what is asked for
HASHED = "path"


@dataclass(frozen=True)
class Service:
    """The servers, as addresses with ports."""

    servers: Sequence[str]
    # the algorithm, as the peer calls it
    balance: str
    # seconds between the health checks of one server; none is checked without
    check_every: float | None = None
    # what else the pool has, where the peer is Reviver
    more: Mapping[str, Any] = field(default_factory=dict)


class Fleet(ABC):
    """One worker; upstream connections are kept for longer than a scenario takes."""

    # the peer whose program it is
    peer: ClassVar[str]
    # how its settings differ from the peer's, for the report
    settings: ClassVar[str]

    def __init__(self, peer: Peer) -> None:
        self.path = peer.path
        self.environment: Mapping[str, str] = peer.environment

    @abstractmethod
    def argv(self, folder: Path, port: int, service: Service) -> list[str | Path]:
        """Writes the configuration into `folder`, which is empty, and tells the command."""

    def prepare(self, folder: Path, port: int, service: Service) -> Launch:
        """How to start it."""
        return Launch(self.argv(folder, port, service), {Mode.REVERSE: port}, self.environment)
