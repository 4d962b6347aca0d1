"""Mirrors: a copy of requests goes to another pool, and no client ever notices."""

import signal
import socket
from collections.abc import Iterator

import pytest

from tests.support.client import Client, Response, chunked, encode_request, fetch
from tests.support.fleet import (
    Crowd,
    Gate,
    Mortal,
    breaks_off,
    breaks_off_in_the_body,
    breaks_off_in_the_head,
    fleet,
    who,
)
from tests.support.http2 import Http2Client, fetch2
from tests.support.http2_origin import Http2Origin
from tests.support.mirrors import Mirrored, copies, diff, mirrored, wait_diff
from tests.support.origin import Exchange, Handler, Request, Waits, responds
from tests.support.proxy import Config, Proxy, reverse
from tests.support.splits import status, tree
from tests.support.wait import until

KIB = 1024


@pytest.fixture(scope="module")
def pair() -> Iterator[Mirrored]:
    """All requests are copied, with the defaults."""
    with mirrored() as pair:
        yield pair


def copy_of(pair: Mirrored, path: str) -> Request:
    """The one copy of the request for a path, when it is here to its end."""
    request = pair.mirror.wait_for(path)
    until(lambda: request.complete or not request.fields.get("Content-Length"), f"the body for {path}")
    return pair.mirror.only(path)


def skipped(pair: Mirrored, why: str) -> int:
    return int(diff(pair.proxy)["skipped"].get(why, 0))


# -- shares


@pytest.mark.parametrize(("percent", "low", "high"), [("0%", 0, 0), ("10%", 52, 148), ("100%", 1_000, 1_000)])
def test_the_share_of_requests(percent: str, low: int, high: int) -> None:
    """Of 1,000; five standard deviations to each side."""
    with mirrored(percent=percent, max=1_000_000) as pair, Crowd(pair.port) as crowd:
        assert crowd.spread([("/", ())] * 1_000) == ["people"] * 1_000
        count = diff(pair.proxy)["copied"]
        assert low <= count <= high
        assert len(pair.copied(count)) == count


def test_a_split_copies_to_its_canary_what_the_canary_does_not_answer() -> None:
    with fleet(2) as (new, old):
        new.name, old.name = "canary", "stable"
        split: Config = {"stable": "v1", "canary": "v2", "weight": "50%", "mirror": "100%"}
        with Proxy(tree({"v1": [old], "v2": [new]}, {"shop": split})) as proxy:
            got = [who(fetch(proxy.port, f"/{number}")) for number in range(40)]
            assert set(got) == {"canary", "stable"}
            until(lambda: len(new.requests) == 40, "all requests, once each")
            assert all(len(new.seen(f"/{number}")) == 1 for number in range(40))
            stable = got.count("stable")
            assert (len(old.requests), diff(proxy, "shop")["copied"]) == (stable, stable)
            variants = {variant["name"]: variant["requests"] for variant in status(proxy)["variants"]}
            assert variants == {"canary": 40 - stable, "stable": stable}, "nobody asked for the copies"


def test_a_route_of_a_split_copies_what_the_mirror_does_not_answer() -> None:
    with fleet(2) as (new, old):
        split: Config = {"stable": "v1", "canary": "v2", "weight": "50%", "force": {"header": "x-to"}}
        routes: list[Config] = [{"name": "all", "split": "shop", "mirror": "v2"}]
        with Proxy(tree({"v1": [old], "v2": [new]}, {"shop": split}, routes=routes)) as proxy:
            for number in range(5):
                fetch(proxy.port, f"/never/{number}", [("X-To", "never")])
                fetch(proxy.port, f"/always/{number}", [("X-To", "always")])
            until(lambda: len(new.requests) >= 10, "five requests and five copies")
            assert diff(proxy)["copied"] == 5
            assert len(old.requests) == 5


def test_a_routes_mirror_stands_in_for_that_of_the_split() -> None:
    with fleet(3) as (new, old, other):
        split: Config = {"stable": "v1", "canary": "v2", "mirror": "100%"}
        routes: list[Config] = [
            {"name": "own", "match": {"path": "/own"}, "split": "shop", "mirror": "v3"},
            {"name": "none", "match": {"path": "/none"}, "split": "shop", "mirror": {"to": "v3", "percent": "0%"}},
            {"name": "rest", "split": "shop"},
        ]
        with Proxy(tree({"v1": [old], "v2": [new], "v3": [other]}, {"shop": split}, routes=routes)) as proxy:
            for path in ("/own", "/none", "/rest"):
                assert who(fetch(proxy.port, path)) == old.name
            new.wait_for("/rest")
            other.wait_for("/own")
            assert [diff(proxy, name)["copied"] for name in ("shop", "own", "none")] == [1, 1, 0]
            assert (len(new.requests), len(other.requests)) == (1, 1)


def test_variants_copy_to_any_pool() -> None:
    with fleet(3) as (a, b, c):
        split: Config = {"variants": {"a": 50, "b": 50}, "mirror": {"percent": "100%", "to": "c"}}
        with Proxy(tree({"a": [a], "b": [b], "c": [c]}, {"shop": split})) as proxy:
            got = [who(fetch(proxy.port)) for _ in range(30)]
            assert set(got) == {"a", "b"}
            copies(proxy, c, 30, "shop")
            assert (len(a.requests), len(b.requests)) == (got.count("a"), got.count("b"))


# -- what a copy is


def test_a_copy_is_what_the_server_gets(pair: Mirrored) -> None:
    fields = [("Cookie", "a=1"), ("Authorization", "Basic eDp5"), ("X-A", "1"), ("X-A", "2"), ("Connection", "X-Hop")]
    assert fetch(pair.port, "/same?q=%20", [*fields, ("X-Hop", "1")]).text == "people GET /same?q=%20"
    copy, original = copy_of(pair, "/same"), pair.people.only("/same")
    assert copy.raw == original.raw, "nothing marks it"
    assert (original.fields.get("X-Forwarded-For"), original.fields.get("Host")) == ("127.0.0.1", "test.example")


def test_a_copy_leaves_no_record_and_is_not_counted(pair: Mirrored) -> None:
    before = pair.proxy.status()["metrics"]["total"]["requests"]
    for number in range(5):
        fetch(pair.port, f"/quiet/{number}")
        copy_of(pair, f"/quiet/{number}")
    fetch(pair.port, "/after")
    copy_of(pair, "/after")
    pair.proxy.record("/after")
    records = [record for record in pair.proxy.records() if record.get("path", "").startswith("/quiet/")]
    assert [(record["server"], record["status"]) for record in records] == [(pair.people.address, 200)] * 5
    assert pair.proxy.status()["metrics"]["total"]["requests"] == before + 6


def test_a_copy_goes_by_the_rules_of_the_route() -> None:
    route: Config = {
        "rewrite": {"add_prefix": "/app", "host": "inner.example"},
        "headers": {"request": {"set": {"x-set": "1"}}},
        "limit": {"rate": "1/h", "burst": 5, "by": "route"},
    }
    with mirrored({"route": route}) as pair:
        assert [fetch(pair.port, "/x").status for _ in range(6)] == [200] * 5 + [429], "copies are not counted"
        for request in pair.copied(5):
            assert (request.target, request.fields.get("X-Set")) == ("/app/x", "1")
            assert request.fields.get("Host") == "inner.example"


def test_an_upgrade_is_not_copied(pair: Mirrored) -> None:
    before = skipped(pair, "upgrade")
    fetch(pair.port, "/socket", [("Connection", "Upgrade"), ("Upgrade", "websocket")])
    assert skipped(pair, "upgrade") == before + 1
    assert not pair.mirror.seen("/socket")


# -- bodies


def posted(port: int, target: str, body: bytes) -> Response:
    return fetch(port, target, method="POST", body=body)


@pytest.mark.parametrize("size", [0, 1, 5_000, 64 * KIB])
def test_a_body_up_to_the_bound_is_copied(pair: Mirrored, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert posted(pair.port, f"/body-{size}", body).text == f"people POST /body-{size}"
    assert copy_of(pair, f"/body-{size}").body == pair.people.only(f"/body-{size}").body == body


def test_a_longer_body_is_not(pair: Mirrored) -> None:
    before = skipped(pair, "body")
    body = b"x" * (64 * KIB + 1)
    assert posted(pair.port, "/long", body).status == 200
    assert pair.people.only("/long").body == body
    assert skipped(pair, "body") == before + 1
    assert not pair.mirror.seen("/long")


def test_a_body_of_unknown_length_is_not(pair: Mirrored) -> None:
    before = skipped(pair, "body")
    with Client(pair.port) as client:
        client.send(encode_request("POST", "/unknown", [("Transfer-Encoding", "chunked")]) + chunked(b"abc", b"def"))
        assert client.response().status == 200
    assert pair.people.only("/unknown").body == b"abcdef"
    assert skipped(pair, "body") == before + 1
    assert not pair.mirror.seen("/unknown")


def test_a_client_that_waits_for_100_gets_it(pair: Mirrored) -> None:
    """It would not send the body before, so there is nothing to copy yet."""

    def goes_on(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.respond(200, exchange.read_body())

    pair.people.on("/expects", goes_on)
    with Client(pair.port) as client:
        client.send(encode_request("POST", "/expects", [("Expect", "100-continue"), ("Content-Length", "5")]))
        assert client.head().status == 100
        client.send(b"hello")
        assert client.response("POST").body == b"hello"
    assert not pair.mirror.seen("/expects")


def test_a_body_in_pieces(pair: Mirrored) -> None:
    with Client(pair.port) as client:
        client.send(encode_request("PUT", "/pieces", [("Content-Length", "9000")]))
        for part in (b"a" * 10, b"b" * 4_990, b"c" * 4_000):
            client.send(part)
        assert client.response("PUT").status == 200
        assert client.ask("GET", "/after-pieces").text == "people GET /after-pieces"
    body = b"a" * 10 + b"b" * 4_990 + b"c" * 4_000
    assert copy_of(pair, "/pieces").body == pair.people.only("/pieces").body == body


def test_what_follows_on_the_connection_is_another_request(pair: Mirrored) -> None:
    """Pipelined: the copy's body ends where it ends."""
    with Client(pair.port) as client:
        client.send(
            encode_request("POST", "/first", body=b"1" * 3_000)
            + encode_request("POST", "/second", body=b"2" * 7)
            + encode_request("GET", "/third")
        )
        assert [client.response().text for _ in range(3)] == [
            "people POST /first",
            "people POST /second",
            "people GET /third",
        ]
    assert copy_of(pair, "/first").body == b"1" * 3_000
    assert copy_of(pair, "/second").body == b"2" * 7
    assert copy_of(pair, "/third").body == b""


def test_a_client_that_breaks_off_its_body(pair: Mirrored) -> None:
    with Client(pair.port) as client:
        client.send(encode_request("POST", "/broken", [("Content-Length", "1000")]) + b"half")
        client.sock.shutdown(socket.SHUT_RDWR)
    assert pair.proxy.record("/broken")["reason"] == "client_aborted"
    assert not pair.mirror.seen("/broken")
    assert fetch(pair.port, "/still").status == 200


def test_a_client_that_sends_no_body_is_408() -> None:
    with mirrored({"timeout": {"body": "200ms"}}) as pair, Client(pair.port) as client:
        client.send(encode_request("POST", "/slow", [("Content-Length", "1000")]) + b"half")
        assert client.response("POST").status == 408
        assert pair.proxy.record("/slow")["reason"] == "body_timeout"
        assert not pair.mirror.requests


def test_a_large_bound() -> None:
    body = bytes(range(256)) * (5 * 4 * KIB)
    with mirrored(body="16MiB") as pair:
        assert posted(pair.port, "/large", body).status == 200
        assert copy_of(pair, "/large").body == pair.people.only("/large").body == body


def test_no_bodies_at_all() -> None:
    with mirrored(body=0) as pair:
        assert posted(pair.port, "/some", b"x").status == 200
        assert posted(pair.port, "/empty", b"").status == 200
        assert fetch(pair.port, "/none").status == 200
        pair.copied(2)
        assert not pair.mirror.seen("/some")
        assert diff(pair.proxy)["skipped"] == {"body": 1}


# -- HTTP/2


@pytest.mark.parametrize("size", [0, 1, 5_000, 64 * KIB])
def test_a_body_over_http2(pair: Mirrored, size: int) -> None:
    body = b"h" * size
    response = fetch2(pair.port, f"/two-{size}", [("content-length", str(size))], method="POST", body=body, tls=False)
    assert response.text == f"people POST /two-{size}"
    assert copy_of(pair, f"/two-{size}").body == pair.people.only(f"/two-{size}").body == body


def test_longer_and_unknown_bodies_over_http2(pair: Mirrored) -> None:
    before = skipped(pair, "body")
    body = b"h" * (64 * KIB + 1)
    length = [("content-length", str(len(body)))]
    assert fetch2(pair.port, "/two-long", length, method="POST", body=body, tls=False).status == 200
    assert fetch2(pair.port, "/two-unknown", method="POST", body=b"abc", tls=False).status == 200
    assert pair.people.only("/two-long").body == body
    assert pair.people.only("/two-unknown").body == b"abc"
    assert skipped(pair, "body") == before + 2
    assert not pair.mirror.seen("/two-long") + pair.mirror.seen("/two-unknown")


def test_streams_beside_one_another(pair: Mirrored) -> None:
    with Http2Client(pair.port, tls=False) as client:
        length = [("content-length", "20000")]
        streams = [client.request("POST", f"/beside-{number}", length, end=False) for number in range(8)]
        for part in range(4):
            for number, stream in enumerate(streams):
                client.send(stream, bytes([65 + number]) * 5_000, end=part == 3)
        assert [client.response(stream).text for stream in streams] == [
            f"people POST /beside-{number}" for number in range(8)
        ]
    for number in range(8):
        assert copy_of(pair, f"/beside-{number}").body == bytes([65 + number]) * 20_000


def test_a_stream_that_is_cancelled(pair: Mirrored) -> None:
    with Http2Client(pair.port, tls=False) as client:
        stream = client.request("POST", "/cancelled", [("content-length", "1000")], end=False)
        client.send(stream, b"half", end=False)
        client.reset(stream)
        assert client.ask("GET", "/after-cancelled").status == 200
    assert pair.proxy.record("/cancelled")["reason"] == "client_aborted"
    assert not pair.mirror.seen("/cancelled")


def test_copies_to_servers_of_http2() -> None:
    with Http2Origin() as two, Mortal("people") as people:
        pools = {"v1": {"servers": [people.address]}, "v2": {"servers": [two.address], "protocol": "h2"}}
        routes: list[Config] = [{"name": "all", "pool": "v1", "mirror": "v2"}]
        with Proxy(reverse(routes=routes, pools=pools)) as proxy:
            assert posted(proxy.port, "/to-two", b"x" * 30_000).text == "people POST /to-two"
            request = two.wait_for("/to-two")
            until(lambda: bytes(request.body) == b"x" * 30_000, "the copy's body")
            assert request.fields.get("content-length") == "30000"


# -- mirrors that are no good


def stalls(exchange: Exchange) -> None:
    """Takes nothing of a body, answers nothing."""
    Waits()(exchange)


def floods(exchange: Exchange) -> None:
    """More of a body than it said."""
    exchange.read_body()
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + b"x" * 100_000)


SICK: dict[str, Handler] = {
    "500": responds(500, b"no"),
    "nonsense": lambda exchange: exchange.send(b"\0\1\2\r\n\r\n"),
    "breaks off": breaks_off,
    "breaks off in the head": breaks_off_in_the_head,
    "breaks off in the body": breaks_off_in_the_body,
    "floods": floods,
    "stalls": stalls,
}


@pytest.mark.parametrize("compare", [False, True], ids=["thrown away", "compared"])
@pytest.mark.parametrize("name", [*SICK, "dead"])
def test_a_sick_mirror_touches_nobody(name: str, compare: bool) -> None:
    with mirrored(compare=compare) as pair:
        if name == "dead":
            pair.mirror.die()
        else:
            pair.mirror.default = SICK[name]
        for number in range(20):
            with Client(pair.port) as client:
                assert client.ask("GET", f"/{number}").text == f"people GET /{number}"
                assert client.ask("POST", f"/{number}", body=b"b" * 20_000).text == f"people POST /{number}"
        assert diff(pair.proxy)["copied"] == 40
        records = pair.proxy.wait_records(lambda record: "path" in record, 40)
        assert {(record["status"], record["reason"], record["attempts"]) for record in records} == {
            (200, "forwarded", 1)
        }
        assert len(records) == 40


def test_nobody_waits_for_a_mirror() -> None:
    """The answer is here while the mirror holds the copy, and so are later ones."""
    gate = Gate()
    with mirrored() as pair:
        pair.mirror.default = gate
        with Client(pair.port) as client:
            for number in range(3):
                assert client.ask("POST", f"/{number}", body=b"b" * 30_000).text == f"people POST /{number}"
                gate.wait(number + 1)
        gate.open()
        pair.copied(3)


def test_beyond_the_bound_nothing_is_copied() -> None:
    gate = Gate()
    with mirrored({"workers": 1}, max=2) as pair:
        pair.mirror.default = gate
        for number in range(10):
            assert who(fetch(pair.port, f"/{number}")) == "people"
        gate.wait(2)
        row = diff(pair.proxy)
        assert (row["copied"], row["skipped"]) == (2, {"busy": 8})
        gate.open()
        until(lambda: who(fetch(pair.port, "/more")) == "people" and pair.mirror.seen("/more"), "room again")
        assert gate.peak == 2


def test_a_mirror_that_cannot_be_reached_from_the_start() -> None:
    with Mortal("people") as people:
        pools = {"v1": {"servers": [people.address]}, "v2": {"servers": ["nowhere.invalid:80"]}}
        with Proxy(reverse(routes=[{"name": "all", "pool": "v1", "mirror": "v2"}], pools=pools)) as proxy:
            for _ in range(10):
                assert who(fetch(proxy.port)) == "people"
            assert diff(proxy)["copied"] == 10


def test_who_ends_a_connection_early_does_not_end_the_copy() -> None:
    gate = Gate()
    with mirrored() as pair:
        pair.mirror.default = gate
        assert posted(pair.port, "/gone", b"b" * 1_000).status == 200
        gate.wait(1)
        gate.open()
        assert copy_of(pair, "/gone").body == b"b" * 1_000


def test_a_copy_that_is_held_does_not_hold_up_the_end() -> None:
    gate = Gate()
    with mirrored({"timeout": {"drain": "20s"}}) as pair:
        pair.mirror.default = gate
        assert fetch(pair.port).status == 200
        gate.wait(1)
        pair.proxy.signal(signal.SIGTERM)
        assert pair.proxy.wait(15) == 0
        gate.open()


# -- changes


def test_reloads_change_mirrors() -> None:
    gate = Gate()
    with mirrored() as pair, Client(pair.port) as client:
        pair.mirror.default = gate
        assert client.ask("GET", "/one").status == 200
        gate.wait(1)
        del pair.route["mirror"]
        assert pair.proxy.reload().returncode == 0
        assert client.ask("GET", "/two").status == 200
        assert fetch(pair.port, "/two").status == 200
        done = pair.proxy.cli("canary", "diff", "all")
        assert (done.returncode, done.stderr) == (1, "error: route all has no mirror\n")
        pair.route["mirror"] = {"to": "v2", "percent": "100%"}
        assert pair.proxy.reload().returncode == 0
        assert client.ask("GET", "/three").status == 200
        gate.wait(2)
        gate.open()
        pair.copied(2)
        assert gate.came == ["/one", "/three"]


def test_what_is_told_before_anything_was_copied() -> None:
    with mirrored(percent="0%") as pair:
        assert fetch(pair.port).status == 200
        done = pair.proxy.cli("canary", "diff")
        assert done.returncode == 0
        assert done.stdout == "route all: 0 % of the requests are copied to v2\nnothing was mirrored yet\n"


def test_the_report_goes_on_over_a_reload() -> None:
    with mirrored() as pair:
        assert fetch(pair.port).status == 200
        pair.copied(1)
        pair.route["mirror"]["percent"] = "99.99%"
        assert pair.proxy.reload().returncode == 0
        assert wait_diff(pair.proxy, lambda row: row["percent"] == 9_999)["copied"] == 1
