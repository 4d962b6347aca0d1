"""What authorities suggest (RFC 9773), asked over loopback."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from reviver.certificates.issuer import AcmeIssuer
from reviver.certificates.issuing import IssueError
from reviver.certificates.storage import Storage
from reviver.certificates.wants import Want
from tests.unit.certificates.fakes import issued


class Directory(ThreadingHTTPServer):
    """An authority that does nothing but suggest."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.directory: dict[str, Any] = {"newNonce": "x", "renewalInfo": f"{self.url}/renewal-info"}
        self.window = datetime(2036, 5, 1, tzinfo=UTC), datetime(2036, 5, 3, tzinfo=UTC)
        self.status = 200
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Directory

    def do_GET(self) -> None:
        answer: dict[str, Any] = self.server.directory
        status = 200
        if self.path != "/dir":
            self.server.asked.append(self.path)
            start, end = (moment.isoformat().replace("+00:00", "Z") for moment in self.server.window)
            answer = {"suggestedWindow": {"start": start, "end": end}}
            status = self.server.status
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "7200")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def directory() -> Iterator[Directory]:
    with Directory() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def want(directory: Directory, tmp_path: Path) -> Want:
    return Want(("a.example",), f"{directory.url}/dir", Storage(tmp_path))


def _chain() -> str:
    return trustme.CA().issue_cert("a.example").cert_chain_pems[0].bytes().decode()


def test_a_moment_of_the_window_is_chosen(directory: Directory, want: Want) -> None:
    before = datetime.now(UTC)
    found = [AcmeIssuer().renewal(want, _chain()) for _ in range(5)]
    moments = {item.at for item in found}
    assert len(moments) == 5
    for item in found:
        assert item.at is not None
        assert directory.window[0] <= item.at <= directory.window[1]
        # and when to ask again, by Retry-After
        assert timedelta(minutes=119) < item.ask_again - before < timedelta(minutes=125)
    # the identifier of a certificate: key of its authority and serial number (section 4.1)
    assert all(path.startswith("/renewal-info/") and path.count(".") == 1 for path in directory.asked)


def test_a_directory_without_it_suggests_nothing(directory: Directory, want: Want) -> None:
    del directory.directory["renewalInfo"]
    assert AcmeIssuer().renewal(want, _chain()).at is None
    assert directory.asked == []


def test_one_that_fails_is_told_with_the_time_to_ask_again(directory: Directory, want: Want) -> None:
    directory.status = 503
    with pytest.raises(IssueError) as raised:
        AcmeIssuer().renewal(want, _chain())
    assert raised.value.retry_at is not None
    assert raised.value.retry_at > datetime.now(UTC) + timedelta(hours=1)


def test_an_expired_certificate_is_not_asked_about(directory: Directory, want: Want) -> None:
    """Section 4.3 forbids it."""
    text = issued("a.example", begin=datetime(2020, 1, 1, tzinfo=UTC))
    AcmeIssuer().renewal(want, text.partition("-----END PRIVATE KEY-----\n")[2])
    assert directory.asked == []
