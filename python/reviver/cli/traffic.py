"""The demonstration's own traffic: one request of each kind, with what should come of it."""

import http.client
import socket
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

PATIENCE = 10.0
"""Seconds that one request may take."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Who is where: addresses as `host:port`."""

    web: str
    office: str
    origins: tuple[str, ...]
    names: tuple[str, ...]
    """What each origin calls itself in its answers."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row of the result table."""

    check: str
    expected: str
    got: str

    @property
    def ok(self) -> bool:
        """Whether it came out as it should."""
        return self.expected == self.got


def send_all(scene: Scene) -> list[Outcome]:
    """Sends everything and tells what came of it; a failure is a row like any other."""
    checks: list[tuple[str, str, Callable[[Scene], str]]] = [
        ("reverse: three requests", f"answers by {', '.join(sorted(scene.names))}", _in_turn),
        ("reverse: a route that answers itself", "200 hello from reviver", _respond),
        ("reverse: a redirect", "308 to /new/page", _redirect),
        ("reverse: a header rule", "200 with x-demo: set by a rule", _header_rule),
        ("reverse: a request body", "200", _body),
        ("reverse: an ambiguous request", "400", _ambiguous),
        ("forward: an absolute URL", f"200 by {scene.names[0]}", _absolute),
        ("forward: a CONNECT tunnel", f"200 by {scene.names[1]}", _tunnel),
        ("forward: SOCKS5 by name", f"200 by {scene.names[2]}", _socks),
        ("forward: CONNECT to a mail port", "refused with 403", _refused_port),
    ]
    outcomes = []
    for check, expected, send in checks:
        try:
            got = send(scene)
        except (OSError, http.client.HTTPException) as error:
            got = f"{type(error).__name__}: {error}"
        outcomes.append(Outcome(check, expected, got))
    return outcomes


def _get(address: str, method: str, path: str, body: bytes | None = None) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.request(method, path, body=body)
        response = connection.getresponse()
        return response, response.read().decode(errors="replace")
    finally:
        connection.close()


def _who(scene: Scene, text: str) -> str:
    """Which origin answered: each has its name in what it says."""
    return next((name for name in scene.names if name in text), "nobody known")


def _in_turn(scene: Scene) -> str:
    answered = {_who(scene, _get(scene.web, "GET", "/")[1]) for _ in scene.names}
    return f"answers by {', '.join(sorted(answered))}"


def _respond(scene: Scene) -> str:
    response, text = _get(scene.web, "GET", "/hello")
    return f"{response.status} {text.strip()}"


def _redirect(scene: Scene) -> str:
    response, _ = _get(scene.web, "GET", "/old/page")
    return f"{response.status} to {response.getheader('location')}"


def _header_rule(scene: Scene) -> str:
    response, _ = _get(scene.web, "GET", "/marked")
    return f"{response.status} with x-demo: {response.getheader('x-demo')}"


def _body(scene: Scene) -> str:
    return str(_get(scene.web, "POST", "/upload", b"x" * 100_000)[0].status)


def _ambiguous(scene: Scene) -> str:
    # Two lengths that disagree: what one parser takes for a body, another takes for the next request.
    request = b"POST / HTTP/1.1\r\nHost: demo\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"
    return _status_line(_exchange(scene.web, request))


def _absolute(scene: Scene) -> str:
    # The proxy is set on the request itself, so that no_proxy in the environment has no say.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"http://{scene.origins[0]}/absolute")
    request.set_proxy(scene.office, "http")
    with opener.open(request, timeout=PATIENCE) as response:
        return f"{response.status} by {_who(scene, response.read().decode(errors='replace'))}"


def _tunnel(scene: Scene) -> str:
    connection = http.client.HTTPConnection(scene.office, timeout=PATIENCE)
    host, _, port = scene.origins[1].rpartition(":")
    connection.set_tunnel(host, int(port))
    try:
        connection.request("GET", "/tunnel")
        response = connection.getresponse()
        return f"{response.status} by {_who(scene, response.read().decode(errors='replace'))}"
    finally:
        connection.close()


def _socks(scene: Scene) -> str:
    """SOCKS5 without authentication, the name resolved by the proxy (RFC 1928)."""
    port = int(scene.origins[2].rpartition(":")[2])
    name = b"localhost"
    with _connect(scene.office) as tunnel:
        tunnel.sendall(b"\x05\x01\x00")
        if tunnel.recv(2, socket.MSG_WAITALL) != b"\x05\x00":
            return "the greeting was refused"
        tunnel.sendall(b"\x05\x01\x00\x03" + bytes([len(name)]) + name + port.to_bytes(2, "big"))
        reply = tunnel.recv(4, socket.MSG_WAITALL)
        if reply[1:2] != b"\x00":
            return f"refused with reply {reply[1:2].hex()}"
        # The bound address, which ends the reply: 4 or 16 bytes, and a port.
        tunnel.recv({1: 4, 4: 16}.get(reply[3], 0) + 2, socket.MSG_WAITALL)
        connection = http.client.HTTPConnection("localhost", port)
        connection.sock = tunnel
        connection.request("GET", "/socks")
        response = connection.getresponse()
        return f"{response.status} by {_who(scene, response.read().decode(errors='replace'))}"


def _refused_port(scene: Scene) -> str:
    text = _exchange(scene.office, b"CONNECT mail.example:25 HTTP/1.1\r\nHost: mail.example:25\r\n\r\n")
    return f"refused with {_status_line(text)}"


def _connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), PATIENCE)


def _exchange(address: str, request: bytes) -> str:
    """Sends bytes as they are and returns the beginning of the answer."""
    with _connect(address) as connection:
        connection.sendall(request)
        return connection.recv(4096).decode(errors="replace")


def _status_line(text: str) -> str:
    """The status of an answer."""
    words = text.split(" ", 2)
    return words[1] if len(words) > 1 else "no answer"
