"""A line of the log is one request, whatever its client wrote; secrets stay secrets."""

import json

from tests.support.client import Client, fetch
from tests.support.origin import Origin, replies
from tests.support.proxy import Proxy, reverse
from tests.support.wait import until

LOGS = [
    {"to": "file:access.log", "format": "json"},
    {"to": "file:combined.log", "format": "combined"},
    {"to": "file:squid.log", "format": "squid"},
]
EVIL = 'x" 200 1\\" \x85\u00e9 "- - [01/Jan/2026:00:00:00 +0000] \\'


def test_quotes_escapes_and_foreign_bytes() -> None:
    with Origin() as origin, Proxy(reverse([origin.address], logs=LOGS)) as proxy:
        fields = [("User-Agent", EVIL), ("Referer", EVIL), ("Cookie", EVIL), ("X-Other", EVIL)]
        for number in range(3):
            assert fetch(proxy.port, f"/{number}?a=\"%0a%0d'`", fields).status == 200
        for name in ("access.log", "combined.log", "squid.log"):
            until(lambda name=name: len(proxy.lines(name)) == 3, f"three lines in {name}")  # type: ignore[misc]
        assert sorted(json.loads(line)["path"] for line in proxy.lines()) == ["/0", "/1", "/2"]
        for line in proxy.lines("combined.log"):
            assert line.isascii()
            assert line.replace("\\\\", "").replace('\\"', "").count('"') == 6, line


def test_secrets_wherever_they_stand() -> None:
    with Origin() as origin, Proxy(reverse([origin.address], logs=LOGS)) as proxy:
        origin.on("/there", replies(b"HTTP/1.1 302 F\r\nLocation: /in?token=s3cret\r\nContent-Length: 0\r\n\r\n"))
        fields = [
            ("Authorization", "Bearer s3cret"),
            ("Cookie", "id=s3cret; s3cret"),
            ("Referer", "http://me:s3cret@example.com/?token=s3cret&a=1#access_token=s3cret"),
        ]
        target = "/there?password=s3cret&%74oken=s3cret&TOKEN=s3cret&user[password]=s3cret;api_key=s3cret&a=1"
        with Client(proxy.port) as client:
            assert client.ask("GET", target, fields).status == 302
            assert client.ask("GET", "http://me.example/x?access_token=s3cret", fields).status == 200
            client.send(b"GET /y?token=s3cret HTTP/1.1\r\nHost: a\r\nBad Name: s3cret\r\n\r\n")
            assert client.response().status == 400
        for name in ("access.log", "combined.log", "squid.log"):
            until(lambda name=name: len(proxy.lines(name)) == 3, f"three lines in {name}")  # type: ignore[misc]
            assert "s3cret" not in "\n".join(proxy.lines(name)), name
        assert "s3cret" not in proxy.stderr
