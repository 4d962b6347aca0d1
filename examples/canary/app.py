"""Two versions of a shop and their visitors, for the configuration beside this file.

usage: python app.py [--bad]     with --bad every tenth answer of the new version is an error
"""

import argparse
import http.client
import itertools
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VISITORS = 8
"""Threads that ask, each without a pause longer than a hundredth of a second."""


def version(name: str, port: int, failing: int) -> None:
    """Serves one version for good; each so many-th answer is an error, none with 0."""
    answers = itertools.count(1)

    class Shop(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = f"shop {name}\n".encode()
            self.send_response(500 if failing and next(answers) % failing == 0 else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Reviver keeps the log."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Shop)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def visit(seen: dict[str, int], lock: threading.Lock) -> None:
    """Asks as one new person after the other."""
    for person in itertools.count(time.time_ns()):
        try:
            client = http.client.HTTPConnection("127.0.0.1", 8080, timeout=5)
            client.request("GET", "/", headers={"X-User": f"user-{person}"})
            answer = client.getresponse()
            answer.read()
            client.close()
            key = f"{answer.getheader('X-Version')} {answer.status}"
        except OSError:
            key = "no answer"
        with lock:
            seen[key] = seen.get(key, 0) + 1
        time.sleep(0.01)


def main() -> None:
    """Runs both versions and their visitors, and says each second what visitors got."""
    parser = argparse.ArgumentParser(description="Two versions of a shop and their visitors.")
    parser.add_argument("--bad", action="store_true", help="every tenth answer of the new version is an error")
    bad = parser.parse_args().bad
    version("v1", 9001, 0)
    version("v2", 9002, 10 if bad else 0)
    seen: dict[str, int] = {}
    lock = threading.Lock()
    for _ in range(VISITORS):
        threading.Thread(target=visit, args=(seen, lock), daemon=True).start()
    while True:
        time.sleep(1)
        with lock:
            print("  ".join(f"{key}: {count}" for key, count in sorted(seen.items())), flush=True)
            seen.clear()


if __name__ == "__main__":
    main()
