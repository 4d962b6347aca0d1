"""Talks to a running proxy over its control socket. Imports little: `reviver status` should be quick."""

import os
import select
import socket
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reviver.control import protocol
from reviver.control.paths import check_length
from reviver.errors import Diagnostic, OperationError

PATIENCE = 30.0
"""Seconds without a line after which a proxy counts as hanging. Long work sends progress far more often."""


class NotRunningError(OperationError):
    """There is no proxy to talk to."""


class RefusedError(OperationError):
    """The running proxy did not do what was asked."""

    def __init__(self, message: str, diagnostics: list[Diagnostic]) -> None:
        super().__init__(message)
        self.diagnostics = diagnostics
        """What is wrong with the configuration; empty where that is not the cause."""


def is_alive(path: Path) -> bool:
    """Whether something accepts connections on that socket."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(PATIENCE)
            probe.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True


def may_be_alive(path: Path) -> bool:
    """Whether something accepts connections on that socket, or does so for others."""
    try:
        return is_alive(path)
    except OSError:
        return True


def ask(
    path: Path,
    command: protocol.Command,
    *,
    name: str | None = None,
    request: Mapping[str, Any] | None = None,
    on_progress: Callable[[dict[str, Any]], None] | None = None,
    until_down: bool = False,
    patience: float = PATIENCE,
) -> dict[str, Any]:
    """Sends one command, with `name` or `request` where it takes one, and returns its result.

    `until_down` also waits for the end of the proxy's process; `patience` is for each line, in seconds.
    Raises RefusedError when the proxy refuses, NotRunningError when there is none, and OperationError when none
    answers.
    """
    check_length(path)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(patience)
            connection.connect(str(path))
            about = {key: value for key, value in (("name", name), ("request", request)) if value is not None}
            connection.sendall(protocol.encode(command=command, **about))
            with connection.makefile("rb") as lines:
                while True:
                    line = lines.readline(protocol.ANSWER_LIMIT)
                    if not line.endswith(b"\n"):
                        raise OperationError(f"the proxy at {path} closed the connection without an answer")
                    message = protocol.decode(line)
                    if "progress" in message:
                        if on_progress is not None:
                            on_progress(message["progress"])
                        continue
                    if "error" in message:
                        raise RefusedError(str(message["error"]), protocol.diagnostics_of(message))
                    if until_down:
                        _await_end(connection)
                    result: dict[str, Any] = message["result"]
                    return result
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotRunningError(f"no proxy is running at {path}") from error
    except PermissionError as error:
        raise OperationError(f"{path}: only its owner and root may talk to this proxy") from error
    except TimeoutError as error:
        raise OperationError(f"the proxy at {path} does not answer") from error
    except (OSError, protocol.ProtocolError) as error:
        raise OperationError(f"{path}: {error}") from error


def _await_end(connection: socket.socket) -> None:
    """Waits until the process at the other end is gone (SO_PEERCRED and pidfd_open(2))."""
    size = struct.calcsize("3i")
    pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    try:
        process = os.pidfd_open(pid)
    except OSError:
        # It is gone already, or is in a pid namespace that we do not see.
        return
    try:
        if not select.select([process], [], [], PATIENCE)[0]:
            raise OperationError(f"the proxy (process {pid}) has stopped serving but does not end")
    finally:
        os.close(process)
