"""Listening sockets handed over by a service manager: sd_listen_fds(3)."""

import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

FIRST = 3
"""SD_LISTEN_FDS_START."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """A listening stream socket that was there when the process started."""

    address: str
    """`address:port` as it is bound, IPv6 addresses in brackets."""
    descriptor: int
    name: str
    """From `$LISTEN_FDNAMES`, for messages; often the socket unit's name."""


def inherited(environ: MutableMapping[str, str] | None = None) -> tuple[list[Inherited], list[str]]:
    """The sockets that were passed, and a sentence for each descriptor that is of no use here (those are closed).

    The variables are removed from the environment, so that no child takes them for its own.
    """
    environ = os.environ if environ is None else environ
    pid = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal():
        return [], []
    sockets: list[Inherited] = []
    unusable: list[str] = []
    for index in range(int(count)):
        descriptor = FIRST + index
        name = names[index] if index < len(names) and names[index] else "unnamed"
        try:
            address = _address(descriptor)
            os.set_inheritable(descriptor, False)
        except OSError as error:
            unusable.append(f"inherited descriptor {descriptor} ({name}) is of no use: {error.strerror or error}")
            continue
        if address is None:
            unusable.append(f"inherited descriptor {descriptor} ({name}) is not a listening TCP socket")
            os.close(descriptor)
            continue
        sockets.append(Inherited(address, descriptor, name))
    return sockets, unusable


def _address(descriptor: int) -> str | None:
    """The bound address of a listening TCP socket, or None. Raises OSError where there is no socket at all."""
    probe = socket.socket(fileno=descriptor)
    try:
        if probe.family not in (socket.AF_INET, socket.AF_INET6) or probe.type != socket.SOCK_STREAM:
            return None
        if not probe.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return None
        host, port = probe.getsockname()[:2]
        return f"[{host}]:{port}" if probe.family == socket.AF_INET6 else f"{host}:{port}"
    finally:
        probe.detach()
