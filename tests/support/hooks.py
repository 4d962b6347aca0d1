"""A small HTTP server that is told of things by POST, as gates and webhooks are."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hook:
    """What came, and what is answered."""

    def __init__(self) -> None:
        self.port = 0
        self.bodies: list[Any] = []
        self.paths: list[str] = []
        self.types: list[str | None] = []
        self.answers: list[tuple[int, Mapping[str, str], bytes]] = []
        """Given in this order; then 204."""
        self.came = threading.Semaphore(0)
        self.go = threading.Event()
        """Clear: nobody is answered."""
        self.go.set()

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def wait(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.came.acquire(timeout=20), f"{len(self.bodies)} came"


@contextmanager
def hook(*answers: tuple[int, Mapping[str, str], bytes]) -> Iterator[Hook]:
    """Listens on loopback while entered."""
    state = Hook()
    state.answers = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.bodies.append(json.loads(body))
            state.paths.append(self.path)
            state.types.append(self.headers["Content-Type"])
            state.came.release()
            state.go.wait(20)
            status, fields, content = state.answers.pop(0) if state.answers else (204, {}, b"")
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Who no longer waits for an answer gets none."""

    server = Server(("127.0.0.1", 0), Handler)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        state.go.set()
        server.shutdown()
        thread.join()
        server.server_close()
