"""The control socket's server side: a private unix socket, one request a connection."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from reviver.control import protocol
from reviver.control.client import is_alive
from reviver.control.paths import check_length, secure_folder, take_back
from reviver.errors import ConfigurationError, Diagnostic, OperationError, ReviverError

REQUEST_PATIENCE = 10.0
"""Seconds within which a client has to send its request."""
LAST_ANSWERS = 2.0
"""Seconds that answers may still take when the proxy ends."""

Progress = Callable[[dict[str, Any]], Awaitable[None]]
Handler = Callable[[Mapping[str, Any], Progress], Awaitable[dict[str, Any]]]
"""Gets the request as it was sent; may raise ProtocolError."""


def bind(path: Path, *, own_folder: bool = False) -> socket.socket:
    """Binds the control socket with mode 0600; one that a dead proxy left behind is replaced.

    `own_folder`: its folder is for it alone, and may still be the user's that an earlier proxy became.
    Raises OperationError, above all when a living proxy answers there.
    """
    check_length(path)
    if not path.parent.is_dir():
        try:
            path.parent.mkdir(parents=True, mode=0o700)
            secure_folder(path.parent)
        except OSError as error:
            raise OperationError(f"control socket {path}: {error.strerror or error}") from error
    try:
        left_behind = path.is_socket()
        if left_behind and is_alive(path):
            raise OperationError(f"already running: a proxy answers at {path}")
        if own_folder:
            take_back(path.parent)
        if left_behind:
            path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # The mode comes from the umask, so that there is no moment at which others can connect.
        previous = os.umask(0o177)
        try:
            listener.bind(str(path))
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(previous)
        listener.listen(16)
    except OSError as error:
        raise OperationError(f"control socket {path}: {error.strerror or error}") from error
    return listener


def remove(path: Path) -> None:
    """Removes the socket's file.

    A proxy that has given up root may not where the folder is root's: the next start replaces the file.
    """
    with contextlib.suppress(OSError):
        path.unlink()


class ControlServer:
    """Answers requests on a bound control socket until closed."""

    def __init__(self, listener: socket.socket, handlers: Mapping[str, Handler]) -> None:
        self._listener = listener
        self._handlers = handlers
        self._server: asyncio.Server | None = None
        self._answering: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Begins to accept."""
        self._server = await asyncio.start_unix_server(self._serve, sock=self._listener, limit=protocol.REQUEST_LIMIT)

    async def finish(self) -> None:
        """Accepts no more, and gives what is being answered a moment to be answered."""
        if self._server is not None:
            self._server.close()
        if self._answering:
            await asyncio.wait(self._answering, timeout=LAST_ANSWERS)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

        async def send(**fields: Any) -> None:
            # A client that went away does not stop what it asked for.
            with contextlib.suppress(OSError):
                writer.write(protocol.encode(**fields))
                await writer.drain()

        async def progress(fields: dict[str, Any]) -> None:
            await send(progress=fields)

        async def refuse(sentence: str, diagnostics: Iterable[Diagnostic] = ()) -> None:
            await send(error=sentence, diagnostics=[item.as_dict() for item in diagnostics])

        try:
            # Read first: closing with a request unread would reset the connection and lose the answer.
            try:
                line = await asyncio.wait_for(reader.readline(), REQUEST_PATIENCE)
            except ValueError:
                # asyncio's word for a line that is longer than the limit
                await refuse(f"a request is at most {protocol.REQUEST_LIMIT} bytes")
                await _discard(reader)
                return
            except TimeoutError:
                await refuse("no request came")
                return
            if not line.endswith(b"\n"):
                return
            if not _may_command(writer):
                await refuse("only the proxy's own user and root may command it")
                return
            message = protocol.decode(line)
            handler = self._handlers[protocol.command_of(message)]
            await send(result=await handler(message, progress))
        except protocol.ProtocolError as error:
            await refuse(str(error))
        except ConfigurationError as error:
            await refuse("the configuration has errors; nothing was changed", error.diagnostics)
        except ReviverError as error:
            await refuse(str(error))
        except ConnectionError:
            pass
        except Exception as error:
            # who asked is told, and asyncio tells the journal where it was
            await refuse(f"internal error: {type(error).__name__}: {error}")
            raise
        finally:
            writer.close()


async def _discard(reader: asyncio.StreamReader) -> None:
    """Takes in, for a moment, what a client still sends, so that it can read its answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_ANSWERS):
            while await reader.read(protocol.REQUEST_LIMIT):
                pass


def _may_command(writer: asyncio.StreamWriter) -> bool:
    """Only our own user and root: the kernel says who the peer is (SO_PEERCRED, unix(7))."""
    connection = writer.get_extra_info("socket")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return uid in (0, os.geteuid())
