"""What a cache under test is: a peer with its cache on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from benches.peers import Launch, Mode, Origin, Peer

MIB = 1024 * 1024


@dataclass(frozen=True)
class Room:
    """How much may be kept, in bytes; without a disk nothing but memory, where there is that choice."""

    memory: int
    disk: int | None = None
    # a bound on their number, for a cache whose bound of bytes does not hold at once
    objects: int | None = None


class Cache(ABC):
    """One worker, upstream connections kept, in front of an origin that says for how long its answers are fresh."""

    name: ClassVar[str]
    # the peer whose program it is
    peer: ClassVar[str]
    # how its settings differ from the peer's, for the report
    settings: ClassVar[str]
    # whether it can keep bodies in files
    disk: ClassVar[bool] = False
    # whether its processes get larger with what it keeps: not where files have it, or where all is taken at the start
    grows: ClassVar[bool] = True
    # the same program that keeps nothing: what a miss is compared with
    plain: ClassVar[bool] = False

    def __init__(self, peer: Peer) -> None:
        self.path = peer.path
        self.environment: Mapping[str, str] = peer.environment

    @abstractmethod
    def argv(self, folder: Path, files: Path, port: int, origin: int, room: Room) -> list[str | Path]:
        """Writes the configuration into `folder`, which is empty, and tells the command; `files` takes what is kept in
        files.
        """

    def prepare(self, folder: Path, files: Path, port: int, origin: Origin, room: Room) -> Launch:
        """How to start it."""
        argv = self.argv(folder, files, port, origin.cacheable, room)
        return Launch(argv, {Mode.REVERSE: port}, self.environment)
