"""Loads over TLS 1.3: h2load's for kept connections, loadgen's for handshakes."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from benches.loads import Load, MeasureError, Result
from benches.peers import Mode, Origin
from benches.toolbox import Toolbox

# proxies differ in whose order they follow: with one choice all do the same work
CIPHER, GROUP = "TLS_AES_128_GCM_SHA256", "X25519"


@dataclass(frozen=True)
class Streams(Load):
    """GET by h2load over kept connections: so many HTTP/2 streams at a time on each, or HTTP/1.1 where it is none."""

    mode: Mode
    size: int
    connections: int
    streams: int = 0

    @property
    def protocol(self) -> str:
        """The only protocol that is offered by ALPN."""
        return "h2" if self.streams else "http/1.1"

    def command(self, toolbox: Toolbox, port: int, origin: Origin, seconds: float) -> list[str]:
        """h2load with one thread; it writes the time of each request to a file."""
        options = ["-t1", f"-c{self.connections}", f"-m{self.streams or 1}", f"-D{round(seconds * 1000)}ms"]
        options += [f"--npn-list={self.protocol}", f"--tls13-ciphers={CIPHER}", f"--groups={GROUP}"]
        where = [f"--log-file={times(toolbox)}", f"--connect-to=127.0.0.1:{port}"]
        # one that is left from a load that failed would be appended to
        times(toolbox).unlink(missing_ok=True)
        return [str(toolbox.programs["h2load"]), *options, *where, f"https://{self.mode.host}/{self.size}"]

    def read(self, toolbox: Toolbox, output: str) -> Result:
        """The summary, and percentiles from the file."""
        for key, wanted in (("TLS Protocol", "TLSv1.3"), ("Application protocol", self.protocol)):
            if (spoken := found(rf"^{key}: (.*)$", output, "nothing")) != wanted:
                raise MeasureError(f"it spoke {spoken} where {wanted} was asked for: {output.strip()[-200:]}")
        succeeded = int(found(r"^requests: .* (\d+) succeeded", output))
        failed = int(found(r"^requests: .* (\d+) failed", output))
        redirected = int(found(r"^status codes: .* (\d+) 3xx", output))
        took = sorted(int(line.split("\t")[2]) for line in times(toolbox).read_text().splitlines())
        times(toolbox).unlink()
        return Result(
            requests=succeeded - redirected,
            errors=failed + redirected,
            bytes=int(found(r"^traffic: \S+ \((\d+)\) total", output)),
            seconds=succeeded / float(found(r"^finished in .*, ([\d.]+) req/s", output)) if succeeded else 0.0,
            p50_us=took[len(took) // 2] if took else 0,
            p99_us=took[len(took) * 99 // 100] if took else 0,
            first_error=found(r"^status codes: (.*)$", output) if failed + redirected else None,
        )


@dataclass(frozen=True)
class Handshakes(Load):
    """GET by loadgen, each on a connection of its own: with a full handshake, or with a ticket of the one before."""

    size: int
    connections: int
    resumed: bool = False
    mode: Mode = Mode.TLS
    close: bool = True

    def command(self, toolbox: Toolbox, port: int, origin: Origin, seconds: float) -> list[str]:
        """loadgen's command of the same name."""
        options = ["--connections", str(self.connections), "--seconds", f"{seconds:g}"]
        kind = "resumed" if self.resumed else "full"
        words = ["handshakes", f"127.0.0.1:{port}", f"/{self.size}", self.mode.host, kind]
        return [str(toolbox.programs["loadgen"]), *words, *options]


def times(toolbox: Toolbox) -> Path:
    """Where h2load writes the time of each request; another run of the benchmark has a file of its own."""
    return toolbox.folder / f"h2load-{os.getpid()}.log"


def found(pattern: str, output: str, default: str | None = None) -> str:
    """A piece of what h2load said; raises MeasureError where it is missing and there is no default."""
    match = re.search(pattern, output, re.MULTILINE)
    if match is None and default is None:
        raise MeasureError(f"the load gave no result: {output.strip()[-200:] or 'it said nothing'}")
    return match[1] if match else str(default)
