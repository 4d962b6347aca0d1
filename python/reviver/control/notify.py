"""Tells systemd how the service fares: sd_notify(3), without its library.

Nothing happens where `$NOTIFY_SOCKET` is not set.
"""

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping


class Notifier:
    """Sends state lines to the service manager. Takes its address out of the environment, as sd_notify asks."""

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._socket: socket.socket | None = None
        self.watchdog = _watchdog_seconds(environ)
        """Seconds within which `alive` has to be called, or None."""
        address = environ.pop("NOTIFY_SOCKET", "")
        if address.startswith(("/", "@")):
            # Connected once: after privileges are dropped the path might not be reachable any more.
            channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            try:
                channel.connect("\0" + address[1:] if address.startswith("@") else address)
            except OSError:
                channel.close()
            else:
                self._socket = channel

    def ready(self, status: str) -> None:
        """Start-up or a reload is complete."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """A reload has begun; `ready` must follow, whatever comes of it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """Shutting down has begun."""
        self._send("STOPPING=1", f"STATUS={status}")

    def alive(self) -> None:
        """Feeds the watchdog."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Nothing more will be sent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        if self._socket is not None:
            # A manager that went away is no reason to stop serving.
            with contextlib.suppress(OSError):
                self._socket.send("\n".join(line.replace("\n", " ") for line in lines).encode())


def _watchdog_seconds(environ: MutableMapping[str, str]) -> float | None:
    """`$WATCHDOG_USEC`, when `$WATCHDOG_PID` is ours or not set: sd_watchdog_enabled(3)."""
    microseconds = environ.pop("WATCHDOG_USEC", "")
    pid = environ.pop("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(microseconds) / 1_000_000
