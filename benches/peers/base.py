"""What a peer is: a proxy that can be started, in which directions, and with which settings."""

from __future__ import annotations

import enum
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from benches.toolbox import Toolbox, run


class Mode(enum.Enum):
    """What a client asks of a proxy."""

    REVERSE = "reverse"
    FORWARD = "forward"
    TUNNEL = "tunnel"
    # TLS in, HTTP/1.1 or HTTP/2 by ALPN; HTTP/1.1 in the clear to the origin
    TLS = "tls"
    # the same in; HTTP/2 in the clear to the origin
    H2 = "h2"

    @property
    def host(self) -> str:
        """The name that a reverse proxy is asked for; Reviver chooses by it whether HTTP/2 goes to the origin."""
        return "h2.bench.example" if self is Mode.H2 else "bench.example"


@dataclass(frozen=True)
class Origin:
    """Ports of the origin on loopback."""

    http: int
    bulk: int
    echo: int
    h2: int
    # answers that say for how long they are fresh
    cacheable: int


@dataclass(frozen=True)
class Launch:
    """How to start a peer: `argv` in `folder`; ready once its ports accept."""

    argv: list[str | Path]
    ports: Mapping[Mode, int]
    environment: Mapping[str, str] = field(default_factory=dict)


class Peer(ABC):
    """A proxy under test. One worker, upstream connections kept, no cache, no access log unless said otherwise."""

    name: ClassVar[str]
    program: ClassVar[str]
    modes: ClassVar[frozenset[Mode]]
    # how its settings differ from its defaults, for the report
    settings: ClassVar[str]
    # not a proxy but what is below any: not measured where connections are opened or kept on purpose
    floor: ClassVar[bool] = False
    version_arguments: ClassVar[tuple[str, ...]] = ("--version",)
    # processes or threads that a core limit does not reach, told by the environment
    environment: Mapping[str, str] = {}

    def __init__(self, toolbox: Toolbox) -> None:
        self.path = toolbox.programs[self.program]
        self.certificate = toolbox.certificate

    def version(self) -> str:
        """The version as the program tells it."""
        done = run([str(self.path), *self.version_arguments], {"PATH": "/usr/bin:/bin", **self.environment})
        # some name themselves by their path, which may hold the version of something else
        said = (done.stdout + done.stderr).replace(str(self.path), "")
        found = re.search(r"\d+\.\d+(\.\d+)*", said)
        return found[0] if found else "unknown"

    @abstractmethod
    def prepare(self, folder: Path, port: int, origin: Origin) -> Launch:
        """Writes the configuration into `folder`; `port` and the nine after it are free."""
