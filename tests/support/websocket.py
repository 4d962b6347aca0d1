"""A WebSocket echo server by an independent implementation."""

import threading
from typing import Self

from websockets.sync.server import ServerConnection, serve


class WebSocketServer:
    """Echoes every message; `close me` makes it close with code 4001."""

    def __init__(self) -> None:
        self._server = serve(self._talk, "127.0.0.1", 0, max_size=None, subprotocols=None)
        self.port = int(self._server.socket.getsockname()[1])
        self.address = f"127.0.0.1:{self.port}"
        self.paths: list[str] = []
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _talk(self, connection: ServerConnection) -> None:
        if connection.request is not None:
            self.paths.append(connection.request.path)
        for message in connection:
            if message == "close me":
                connection.close(4001, "as you wish")
            else:
                connection.send(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
