"""`reviver cache warm` against a server that answers as a proxy with a cache would."""

import http.server
import json
import os
import pty
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reviver.cli import main, warming
from reviver.control import client
from tests.support import tls


class _Proxy(http.server.ThreadingHTTPServer):
    """Stores on the first request for a URL what its path says, and has it on the second one."""

    daemon_threads = True

    def __init__(self, *, secure: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.connections = 0
        self.stored: set[str] = set()
        if secure:
            leaf = tls.authority().leaf("other.example")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(leaf.certificate, leaf.key)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def do_GET(self) -> None:
        self.server.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        where = self.headers["host"] + self.path
        status = 404 if "missing" in self.path else 502 if "broken" in self.path else 200
        self.send_response_only(status)
        if "hints" in self.path:
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        if "unknown" not in self.path:
            self.send_header("Cache-Status", 'other; hit; detail="a, b; stored"')
            self.send_header("Cache-Status", self._cache_status(where))
        if status == 502:
            self.send_header("Proxy-Status", 'reviver; error=connection_refused; details="x"')
        body = b"x" * 1000
        self.send_header("Content-Length", str(len(body) + 10 * ("short" in self.path)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = "close" in self.path or "short" in self.path

    def _cache_status(self, where: str) -> str:
        if "private" in where:
            return 'reviver; fwd=uri-miss; fwd-status=200; stored=?0; key="a;b,\\"stored"; detail=private'
        if where in self.server.stored:
            return f'reviver; hit; ttl=59; key="{where}"'
        self.server.stored.add(where)
        return f'reviver; fwd=uri-miss; fwd-status=200; stored; ttl=60; key="{where}"'

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _serving(*, secure: bool = False) -> Iterator[_Proxy]:
    with _Proxy(secure=secure) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def proxy() -> Iterator[_Proxy]:
    with _serving() as server:
        yield server


@pytest.fixture
def listeners(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Those that the running proxy tells of."""
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(client, "ask", lambda *_, **__: {"listeners": told})
    return told


def _listener(name: str, role: str, *bind: str, tls: bool = False) -> dict[str, Any]:
    return {"name": name, "role": role, "bind": list(bind), "tls": tls}


def _warm(*arguments: object) -> int:
    return main.run(["cache", "warm", "--socket", "/x", *map(str, arguments)])


def test_what_is_fetched_is_told_by_what_became_of_it(
    proxy: _Proxy, listeners: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listeners.append(_listener("web", "reverse", proxy.address))
    proxy.stored.add("a.example/there")
    path = tmp_path / "urls.txt"
    path.write_text(
        "# mine\n\nhttp://a.example/1\n a.example/2 \na.example/there\na.example/private\na.example/missing\n"
    )
    assert _warm(path, "--url", "http://a.example/1", "--url", "b.example/broken", "--concurrency", "1") == 1
    out = capsys.readouterr().out.splitlines()
    assert out == [
        "stored     http://a.example/1",
        "stored     http://a.example/2",
        "there      http://a.example/there",
        "not stored http://a.example/private: private",
        "failed     http://a.example/missing: 404 Not Found",
        "failed     http://b.example/broken: 502 Bad Gateway (connection_refused)",
        "4 fetched (3.9 KiB): 2 stored, 1 already there, 1 not stored (private 1); 2 failed",
    ]
    assert [(path, headers["host"]) for path, headers in proxy.requests[-2:]] == [
        ("/missing", "a.example"), ("/broken", "b.example"),
    ]  # fmt: skip
    assert proxy.connections == 1


def test_programs_get_counts_and_what_has_failed(
    proxy: _Proxy, listeners: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    listeners.append(_listener("web", "reverse", proxy.address))
    assert _warm("--url", "a.example/1", "--url", "a.example/private", "--url", "a.example/missing", "--json") == 1
    assert json.loads(capsys.readouterr().out) == {
        "fetched": 2,
        "stored": 1,
        "there": 0,
        "not_stored": {"private": 1},
        "failed": [{"url": "http://a.example/missing", "status": 404, "reason": "404 Not Found"}],
        "bytes": 2000,
    }


def test_many_at_a_time_are_all_fetched(
    proxy: _Proxy, listeners: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    listeners.append(_listener("web", "reverse", proxy.address))
    path = tmp_path / "urls.txt"
    path.write_text("".join(f"a.example/{number}{'close' if number % 7 == 0 else ''}\n" for number in range(200)))
    assert _warm(path, "--concurrency", "16") == 0
    assert len({path for path, _ in proxy.requests}) == 200
    assert capsys.readouterr().out.splitlines()[-1].endswith("200 stored, 0 already there; 0 failed")


def test_fields_that_are_given_are_sent(proxy: _Proxy, listeners: list[dict[str, Any]]) -> None:
    listeners.append(_listener("web", "reverse", proxy.address))
    assert _warm("--url", "a.example/?b", "-H", "Accept-Encoding: br", "-H", "User-Agent: me", "-H", "X-A: b") == 0
    ((path, headers),) = proxy.requests
    assert path == "/?b"
    assert headers == {
        "host": "a.example", "accept": "*/*", "accept-encoding": "br", "user-agent": "me", "x-a": "b",
    }  # fmt: skip


def test_a_forward_listener_is_asked_as_a_proxy(proxy: _Proxy, listeners: list[dict[str, Any]]) -> None:
    listeners.append(_listener("office", "forward", proxy.address.replace("127.0.0.1", "0.0.0.0")))
    assert _warm("--url", "http://a.example:81/x") == 0
    ((path, headers),) = proxy.requests
    assert (path, headers["host"]) == ("http://a.example:81/x", "a.example:81")


def test_a_listener_with_tls_is_not_asked_who_it_is_on_loopback(listeners: list[dict[str, Any]]) -> None:
    with _serving(secure=True) as proxy:
        listeners.append(_listener("web", "reverse", "127.0.0.1:1"))
        listeners.append(_listener("secure", "reverse", proxy.address, tls=True))
        assert _warm("--url", "https://a.example/x") == 0
        ((path, headers),) = proxy.requests
        assert (path, headers["host"]) == ("/x", "a.example")


def test_a_proxy_elsewhere_is_a_forward_proxy(
    proxy: _Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(*_: Any, **__: Any) -> None:
        raise client.NotRunningError("no proxy is running")

    monkeypatch.setattr(client, "ask", ask)
    (tmp_path / "reviver.yaml").write_text(f"control: {{socket: {tmp_path}/c.sock}}\n")
    monkeypatch.chdir(tmp_path)
    assert main.run(["cache", "warm", "--url", "a.example/x", "--via", proxy.address]) == 0
    assert proxy.requests[0][0] == "http://a.example/x"
    assert main.run(["cache", "warm", "--url", "a.example/x"]) == 1
    assert "no proxy is running" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("hints", "stored     http://a.example/hints"),
        ("short", "failed     http://a.example/short: the response ends too early"),
        ("unknown", "not stored http://a.example/unknown: no Cache-Status"),
    ],
)
def test_odd_answers(
    proxy: _Proxy, listeners: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], path: str, line: str
) -> None:
    listeners.append(_listener("web", "reverse", proxy.address))
    assert _warm("--url", f"a.example/{path}") == (1 if path == "short" else 0)
    assert capsys.readouterr().out.splitlines()[0] == line


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://a.example/", "no listener of the proxy speaks https"),
        ("http://a.example/", "connection refused"),
    ],
)
def test_who_cannot_be_asked_is_told(
    listeners: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], url: str, reason: str
) -> None:
    with _serving() as gone:
        address = gone.address
    listeners.append(_listener("web", "reverse", address))
    assert _warm("--url", url) == 1
    assert capsys.readouterr().out.splitlines()[0] == f"failed     {url}: {reason}"


def test_https_through_a_forward_proxy_is_not_tried(
    listeners: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    listeners.append(_listener("office", "forward", "127.0.0.1:1"))
    assert _warm("--url", "https://a.example/") == 1
    assert "a forward proxy tunnels https, and caches nothing of it" in capsys.readouterr().out


def test_every_line_that_is_no_url_is_told_and_nothing_is_fetched(
    proxy: _Proxy, listeners: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listeners.append(_listener("web", "reverse", proxy.address))
    path = tmp_path / "urls.txt"
    path.write_bytes(b"a.example/1\nftp://a.example/\n\n/x\n\xff\n")
    assert _warm(path) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"{path}:2: 'ftp://a.example/' is neither http nor https",
        f"{path}:4: '/x' has no host",
        f"{path}:5: '\\udcff' has a space or a control character in it",
    ]
    assert proxy.requests == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say what to fetch: FILE, - or --url"),
        (["/nowhere/urls"], "No such file"),
        (["--url", "ftp://a/"], "is neither http nor https"),
        (["--url", "a.example", "--via", "a.example"], "'a.example' has no port"),
        (["--url", "a.example", "--listener", "wob"], "there is no listener 'wob'; there are: web"),
        (["--url", "a.example", "--concurrency", "0"], "--concurrency"),
    ],
)
def test_bad_usage_is_one_line(
    listeners: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    listeners.append(_listener("web", "reverse", "127.0.0.1:1"))
    assert _warm(*arguments) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert words in err


LISTENERS = [
    _listener("office", "forward", "127.0.0.1:3128"),
    _listener("web", "reverse", "0.0.0.0:80", "[::]:80"),
    _listener("other", "reverse", "[::]:8080"),
    _listener("secure", "reverse", "10.0.0.1:443", tls=True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("url", "via", "name", "target"),
    [
        ("http://a.example/", None, None, ("127.0.0.1", 80, False, False)),
        ("http://a.example:8080/", None, None, ("::1", 8080, False, False)),
        ("http://a.example:9/", None, None, ("127.0.0.1", 80, False, False)),
        ("https://a.example/", None, None, ("10.0.0.1", 443, True, False)),
        ("http://a.example/", None, "office", ("127.0.0.1", 3128, False, True)),
        ("http://a.example/", "10.0.0.9:3128", None, ("10.0.0.9", 3128, False, True)),
        ("https://a.example/", "10.0.0.9:443", None, ("10.0.0.9", 443, True, False)),
        ("http://a.example/", "10.0.0.9:9", None, ("10.0.0.9", 9, False, True)),
        ("http://a.example/", "10.0.0.9:9", "web", ("10.0.0.9", 9, False, False)),
        ("http://a.example/", "[::2]:9", "web", ("::2", 9, False, False)),
    ],
)
def test_a_listener_is_chosen_for_each_url(
    url: str, via: str | None, name: str | None, target: tuple[Any, ...]
) -> None:
    assert warming.Choice(LISTENERS, via, name)(url) == target


def test_a_terminal_gets_a_progress_bar(proxy: _Proxy, tmp_path: Path) -> None:
    """In a process of its own, whose standard error is a terminal."""
    code = (
        "import sys\nfrom reviver.cli import main\nfrom reviver.control import client\n"
        f"client.ask = lambda *_, **__: {{'listeners': [{_listener('web', 'reverse', proxy.address)!r}]}}\n"
        "sys.exit(main.run(['cache', 'warm', '--socket', '/x', '-']))\n"
    )
    terminal, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            input="a.example/1\na.example/2\na.example/missing\n",
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
            check=False,
            timeout=60,
        )
        os.close(theirs)
        shown = os.read(terminal, 1 << 16).decode()
    finally:
        os.close(terminal)
    assert done.returncode == 1
    assert done.stdout.splitlines() == ["2 fetched (2.0 KiB): 2 stored, 0 already there; 1 failed"]
    assert "3/3" in shown
    assert "failed     http://a.example/missing: 404 Not Found" in shown
