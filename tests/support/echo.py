"""A TCP server that is no HTTP origin: for what goes through tunnels."""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self

from tests.support.stream import Closed, Stream

Talk = Callable[[Stream], None]


def echo(stream: Stream) -> None:
    """Sends back what comes, until the peer's end."""
    while True:
        stream.send(stream.read_some())


class Server:
    """Runs `talk` on each connection in a thread of its own, and closes the connection after it."""

    def __init__(self, talk: Talk = echo, *, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.talk = talk
        self.sock = socket.create_server((host, 0), family=family)
        self.port = int(self.sock.getsockname()[1])
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.accepted = 0
        self.failures: list[BaseException] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(Stream(sock, 60),), daemon=True).start()

    def _serve(self, stream: Stream) -> None:
        try:
            self.talk(stream)
        except (Closed, OSError):
            pass
        except BaseException as error:  # raised at the end of the context
            self.failures.append(error)
        finally:
            stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        if kind is None and self.failures:
            raise self.failures[0]
