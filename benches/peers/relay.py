"""The floor: a relay that knows no HTTP."""

from __future__ import annotations

from pathlib import Path

from benches.peers.base import Launch, Mode, Origin, Peer


class Relay(Peer):
    """Two reads and two writes a request and nothing else: what a proxy can come near to with small answers."""

    name = "bare relay"
    program = "loadgen"
    modes = frozenset({Mode.REVERSE})
    floor = True
    settings = "the floor: copies bytes between two sockets, knows no HTTP"

    def version(self) -> str:
        """It is part of the benchmark."""
        return "this benchmark's"

    def prepare(self, folder: Path, port: int, origin: Origin) -> Launch:
        """One thread."""
        argv: list[str | Path] = [self.path, "relay", f"127.0.0.1:{port}", f"127.0.0.1:{origin.http}"]
        return Launch(argv, {Mode.REVERSE: port})
