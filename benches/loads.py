"""Loads: the command that makes one, and what it said."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from benches.peers import Mode, Origin
from benches.toolbox import Toolbox

REQUEST_SCRIPT = Path(__file__).with_name("request.lua")


class MeasureError(Exception):
    """A measurement is worth nothing; the text is one line for a person."""


@dataclass(frozen=True)
class Result:
    """What a load did; times in microseconds."""

    requests: int
    errors: int
    bytes: int
    seconds: float
    p50_us: float
    p99_us: float
    first_error: str | None = None


def parse(output: str) -> Result:
    """Reads the last line of JSON that wrk's script or loadgen printed; raises MeasureError where there is none."""
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            try:
                return Result(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise MeasureError(f"the load said something unreadable: {line[:80]}") from error
    raise MeasureError(f"the load gave no result: {output.strip()[-200:] or 'it said nothing'}")


class Load(ABC):
    """Something that a proxy is asked to do for some seconds."""

    mode: Mode
    # whether each request has a connection of its own
    close: bool = False

    @abstractmethod
    def command(self, toolbox: Toolbox, port: int, origin: Origin, seconds: float) -> list[str]:
        """The command that asks the proxy on that port of loopback."""

    def read(self, toolbox: Toolbox, output: str) -> Result:
        """What the command printed, as a result; raises MeasureError where it is none."""
        return parse(output)


@dataclass(frozen=True)
class Requests(Load):
    """GET over HTTP/1.1 for a body of `size` bytes.

    wrk makes the load of small answers. Bodies above 16 KiB come from loadgen, which leaves them in the kernel:
    wrk copies them in pieces of 8 KiB and would be what is measured.
    """

    mode: Mode
    size: int
    connections: int
    close: bool = False

    def command(self, toolbox: Toolbox, port: int, origin: Origin, seconds: float) -> list[str]:
        """wrk or loadgen, by size."""
        target, name = self.target(origin)
        if self.size > 16 * 1024:
            options = ["--connections", str(self.connections), "--seconds", f"{seconds:g}"]
            return [str(toolbox.programs["loadgen"]), "http", f"127.0.0.1:{port}", target, name, *options]
        # wrk takes whole seconds only
        options = ["-t1", f"-c{self.connections}", f"-d{max(1, round(seconds))}", "--timeout", "10"]
        words = ["--", target, name, "close" if self.close else "keep"]
        url = f"http://127.0.0.1:{port}/"
        return [str(toolbox.programs["wrk"]), *options, "-s", str(REQUEST_SCRIPT), url, *words]

    def target(self, origin: Origin) -> tuple[str, str]:
        """The request target, origin-form or absolute-form by direction, and the Host field."""
        if self.mode is Mode.FORWARD:
            authority = f"127.0.0.1:{origin.http}"
            return f"http://{authority}/{self.size}", authority
        return f"/{self.size}", self.mode.host


@dataclass(frozen=True)
class Tunnels(Load):
    """CONNECT tunnels: `bulk` reads as fast as it can (a request is 1 MiB), `pingpong` sends 64 bytes and waits."""

    kind: str
    connections: int
    mode: Mode = Mode.TUNNEL

    def command(self, toolbox: Toolbox, port: int, origin: Origin, seconds: float) -> list[str]:
        """loadgen's command of the same name."""
        behind = origin.bulk if self.kind == "bulk" else origin.echo
        options = ["--connections", str(self.connections), "--seconds", f"{seconds:g}"]
        words = [self.kind, f"127.0.0.1:{port}", f"127.0.0.1:{behind}"]
        return [str(toolbox.programs["loadgen"]), *words, *options]


@dataclass(frozen=True)
class Replay(Load):
    """GET of the targets in a file, one a line, in their order and then again; `requests` of them, or for the time."""

    path: Path
    connections: int
    requests: int | None = None
    mode: Mode = Mode.REVERSE

    def command(self, toolbox: Toolbox, port: int, origin: Origin, seconds: float) -> list[str]:
        """loadgen's command of the same name."""
        options = ["--connections", str(self.connections), "--seconds", f"{seconds:g}"]
        options += ["--requests", str(self.requests)] if self.requests else []
        words = ["replay", f"127.0.0.1:{port}", self.mode.host, str(self.path)]
        return [str(toolbox.programs["loadgen"]), *words, *options]


@dataclass(frozen=True)
class Unique(Load):
    """GET of targets that have not been there before."""

    size: int
    connections: int
    mode: Mode = Mode.REVERSE

    def command(self, toolbox: Toolbox, port: int, origin: Origin, seconds: float) -> list[str]:
        """loadgen's command of the same name; no two loads of one run have a target in common."""
        options = ["--connections", str(self.connections), "--seconds", f"{seconds:g}"]
        words = [f"127.0.0.1:{port}", self.mode.host, f"/u{time.monotonic_ns()}-", f"/{self.size}"]
        return [str(toolbox.programs["loadgen"]), "unique", *words, *options]
