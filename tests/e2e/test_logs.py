"""The access log: every request exactly once, in every format, and no secret in clear."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import Client, absolute, connect, fetch
from tests.support.origin import Origin, responds
from tests.support.proxy import Proxy, forward, reverse
from tests.support.wait import Together, until

TEMPLATE = '{method} {path} {status} "{user_agent}" {route} {{literal}}'
FORMATS: list[dict[str, Any]] = [
    {
        "to": "file:access.log",
        "format": "json",
        "headers": {"request": ["X-Trace", "Cookie", "Authorization"], "response": ["ETag", "Set-Cookie"]},
    },
    {"to": "file:combined.log", "format": "combined"},
    {"to": "file:common.log", "format": "common"},
    {"to": "file:squid.log", "format": "squid"},
    {"to": "file:template.log", "format": TEMPLATE},
    {"to": "stdout", "format": "json"},
]
HEAD = r"(?P<host>\S+) - (?P<user>\S+) \[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
REQUEST = r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<size>\d+|-)'
COMMON = re.compile(HEAD + REQUEST)
COMBINED = re.compile(HEAD + REQUEST + r' "(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"')
SQUID = re.compile(r"\s*\d+\.\d{3}\s+\d+ \S+ [A-Z_]+/\d{3} \d+ [A-Z]+ \S+ \S+ [A-Z_]+/\S+ \S+")
#: Every secret that the tests below send, each in its own place.
SECRETS = ["hunter2", "s3cret", "c2VjcmV0", "opensesame", "sh-h-h"]


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address], logs=FORMATS)) as proxy:
        yield proxy


def line_with(proxy: Proxy, name: str, mark: str) -> str:
    """The one line of a log that holds `mark`."""
    found = until(lambda: [line for line in proxy.lines(name) if mark in line], f"{mark} in {name}")
    assert len(found) == 1, found
    return found[0]


def test_json_says_it_all(proxy: Proxy, origin: Origin) -> None:
    origin.on("/json", responds(201, b"created", ("ETag", '"e"')))
    fields = [("User-Agent", "Odd/1.0"), ("Referer", "http://r.example/"), ("X-Trace", "t1")]
    assert fetch(proxy.port, "/json?a=b", fields, method="POST", body=b"12345").status == 201
    record = proxy.record("/json")
    expected = {
        "listener": "web",
        "method": "POST",
        "scheme": "http",
        "host": "test.example",
        "path": "/json",
        "query": "a=b",
        "route": "all",
        "pool": "all",
        "server": origin.address,
        "upstream": origin.address,
        "status": 201,
        "upstream_status": 201,
        "reason": "forwarded",
        "ending": "complete",
        "attempts": 1,
        "tunnel": False,
        "request_body": 5,
        "response_body": 7,
        "user_agent": "Odd/1.0",
        "referer": "http://r.example/",
    }
    assert {key: record.get(key) for key in expected} == expected
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
    assert "127.0.0.1" in record["client"]
    assert "1.1" in record["protocol"]
    assert "reviver.json:" in record["at"]
    assert record["request_headers"]["x-trace"] == "t1"
    assert record["response_headers"]["etag"] == '"e"'
    assert record["bytes_in"] > 5
    assert record["bytes_out"] > 7
    for key in ("duration_ms", "head_ms", "decide_ms", "connect_ms", "first_byte_ms"):
        assert record[key] >= 0, key
    assert record["duration_ms"] >= record["first_byte_ms"]


def test_common_and_combined_are_apaches(proxy: Proxy) -> None:
    fields = [("User-Agent", "Odd/1.0"), ("Referer", "http://r.example/")]
    size = len(fetch(proxy.port, "/formats?x=1", fields).body)
    combined = COMBINED.fullmatch(line_with(proxy, "combined.log", "/formats"))
    assert combined
    assert combined["request"] == "GET /formats?x=1 HTTP/1.1"
    assert (combined["host"], combined["status"], combined["size"]) == ("127.0.0.1", "200", str(size))
    assert (combined["referer"], combined["agent"]) == ("http://r.example/", "Odd/1.0")
    common = COMMON.fullmatch(line_with(proxy, "common.log", "/formats"))
    assert common
    assert common["request"] == combined["request"]


def test_squid_is_squids(proxy: Proxy) -> None:
    fetch(proxy.port, "/squid")
    line = line_with(proxy, "squid.log", "/squid")
    assert SQUID.fullmatch(line), line
    assert "/200 " in line
    assert " GET " in line


def test_a_template(proxy: Proxy) -> None:
    fetch(proxy.port, "/template", [("User-Agent", "A")])
    assert line_with(proxy, "template.log", "/template") == 'GET /template 200 "A" all {literal}'


def test_exactly_once_under_concurrency(proxy: Proxy) -> None:
    def some(index: int) -> None:
        with Client(proxy.port) as client:
            for i in range(100):
                assert client.ask("GET", f"/once/{index}-{i}").status == 200

    Together(some, 10).join()
    proxy.wait_records(lambda record: record["path"].startswith("/once/"), 1000)
    for name in ("access.log", "combined.log", "common.log", "squid.log", "template.log"):
        until(lambda name=name: sum("/once/" in line for line in proxy.lines(name)) >= 1000, f"1000 lines in {name}")  # type: ignore[misc]
        lines = [line for line in proxy.lines(name) if "/once/" in line]
        assert len(lines) == len({re.search(r"/once/[\d-]+", line)[0] for line in lines}) == 1000  # type: ignore[index]
    until(lambda: proxy.stdout.count("/once/") == 1000, "1000 lines on stdout")


def test_secrets_are_masked(proxy: Proxy, origin: Origin) -> None:
    origin.on("/secret", responds(200, b"x", ("Set-Cookie", "sid=s3cret")))
    fields = [
        ("Cookie", "sid=s3cret"),
        ("Authorization", "Basic c2VjcmV0"),
        ("Referer", "http://ann:opensesame@r.example/?password=hunter2&page=3"),
    ]
    query = "token=hunter2&page=2&API_KEY=hunter2&%74oken=hunter2&pass+word=1&access_token=hunter2&Signature=sh-h-h"
    assert fetch(proxy.port, f"/secret?{query}", fields).status == 200
    for name in ("access.log", "combined.log", "common.log", "squid.log", "template.log"):
        line_with(proxy, name, "/secret")
    everything = "".join(path.read_text(errors="replace") for path in proxy.folder.iterdir() if path.is_file())
    for secret in SECRETS:
        assert secret not in everything, secret
    record = proxy.record("/secret")
    assert "page=2" in record["query"], "the rest stays readable"
    assert "token=***" in record["query"]
    assert "page=3" in record["referer"]


def test_a_line_cannot_be_forged(proxy: Proxy) -> None:
    evil = 'x" 200 1 "-" "-"\t\\'
    fetch(proxy.port, '/forge"%0a127.0.0.1%20-%20-', [("User-Agent", evil), ("Referer", '"')])
    combined = line_with(proxy, "combined.log", "/forge")
    assert COMBINED.fullmatch(combined), combined
    assert proxy.wait_records(lambda record: "/forge" in record["path"])[0]["user_agent"] == evil
    with Client(proxy.port) as client:
        client.request("GET", "/raw-bytes", [("User-Agent", "caf\xe9")])
        assert client.response().status == 200
    json.loads(line_with(proxy, "access.log", "/raw-bytes"))


def test_refused_and_unrouted_requests_are_there(proxy: Proxy) -> None:
    with Client(proxy.port) as client:
        client.send(b"GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert client.response().status == 400
    record = proxy.wait_records(lambda record: record.get("status") == 400)[0]
    assert record["reason"] == "bad_request"
    assert record["listener"] == "web"


def test_tunnels_are_there(origin: Origin) -> None:
    logs = [
        {"to": "file:access.log", "format": "json"},
        {"to": "file:combined.log", "format": "combined"},
        {"to": "file:squid.log", "format": "squid"},
    ]
    with Proxy(forward(top={"logs": logs})) as proxy:
        client, _ = connect(proxy.port, origin.address)
        with client:
            client.ask("GET", "/inside")
        assert proxy.wait_records(lambda record: record["tunnel"])[0]["method"] == "CONNECT"
        assert f"CONNECT {origin.address}" in line_with(proxy, "combined.log", "CONNECT")
        assert f"CONNECT {origin.address}" in line_with(proxy, "squid.log", "CONNECT")


def test_squid_lines_of_a_forward_proxy(origin: Origin) -> None:
    with Proxy(forward(top={"logs": [{"to": "file:squid.log", "format": "squid"}]})) as proxy:
        assert absolute(proxy.port, f"http://{origin.address}/page").status == 200
        line = line_with(proxy, "squid.log", "/page")
    assert f"http://{origin.address}/page" in line
    assert "TCP_MISS/200" in line
    assert "HIER_DIRECT/127.0.0.1" in line


def test_own_names_of_secrets(origin: Origin) -> None:
    logs = [{"to": "file:access.log", "format": "json", "redact": ["Pin"]}]
    with Proxy(reverse([origin.address], logs=logs)) as proxy:
        fetch(proxy.port, "/own?pin=1234&PIN=1234&token=shown")
        record = proxy.record("/own")
        assert "1234" not in record["query"]
        assert "token=shown" in record["query"]


def test_without_logs_nothing_is_written(origin: Origin) -> None:
    with Proxy(reverse([origin.address], logs=[])) as proxy:
        assert fetch(proxy.port, "/silent").status == 200
    assert not proxy.folder.exists()


def test_the_log_is_complete_when_the_program_ends(origin: Origin) -> None:
    with Proxy(reverse([origin.address])) as proxy:
        with Client(proxy.port) as client:
            for i in range(200):
                client.ask("GET", f"/{i}")
        proxy.stop()
        assert len(proxy.records()) == 200
