"""A hit is a response like any other: versions, connections, header rules, limits; and what is never one."""

from collections.abc import Iterator

import pytest

from tests.support.cache import Answer, Script, Stage, pairs, reverse_stage, route, stage
from tests.support.client import Client, chunked, fetch, fetch_raw
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, reverse

HOUR = "Cache-Control: max-age=3600"


@pytest.fixture(scope="module", params=["reverse", "forward"])
def on(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with stage(request.param) as ready:
        yield ready


@pytest.fixture
def stored(on: Stage) -> str:
    path = on.path("stored")
    on.on(path, HOUR, 'ETag: "a"', body=b"stored")
    assert on.ask(path).body == b"stored"
    return path


def test_many_on_one_connection(on: Stage, stored: str) -> None:
    with Client(on.proxy.port) as client:
        for _ in range(100):
            on.request(client, stored)
            assert client.response().body == b"stored"
    assert on.asked(stored) == 1


def test_pipelined(on: Stage, stored: str) -> None:
    """Hits and misses in one go come in their order."""
    miss = on.path("miss")
    on.on(miss, "Cache-Control: no-store", body=b"fetched")
    with Client(on.proxy.port) as client:
        for path in (stored, miss, stored, stored, miss):
            on.request(client, path)
        assert [client.response().body for _ in range(5)] == [b"stored", b"fetched", b"stored", b"stored", b"fetched"]


def test_http10(on: Stage, stored: str) -> None:
    target = on.url(stored) if on.forward else stored
    response = fetch_raw(on.proxy.port, f"GET {target} HTTP/1.0\r\nHost: {on.host()}\r\n\r\n".encode())
    assert (response.status, response.body) == (200, b"stored")
    assert response.framing == "length"
    assert on.asked(stored) == 1


def test_the_connection_ends_when_it_is_asked_to(on: Stage, stored: str) -> None:
    with Client(on.proxy.port) as client:
        on.request(client, stored, "Connection: close")
        assert client.response().fields.get("Connection") == "close"
        client.expect_closed()


def test_a_hit_says_via_once(on: Stage) -> None:
    """After validation too."""
    path = on.path("via")
    old = ("Cache-Control: max-age=60", "Age: 100", 'ETag: "a"', "Via: 1.1 elsewhere")
    on.origin.on(path, Script(Answer(200, old), Answer(304, (HOUR, 'ETag: "a"', "Via: 1.1 elsewhere"))))
    seen = [on.ask(path).fields.values("Via") for _ in range(3)]
    assert seen[0] == seen[1] == seen[2]
    assert ", ".join(seen[0]).startswith("1.1 elsewhere")
    assert on.asked(path) == 2


def test_a_large_hit_to_a_client_that_leaves(on: Stage) -> None:
    path = on.path("leaves")
    on.on(path, HOUR, body=bytes(8 << 20))
    on.ask(path)
    for _ in range(5):
        with Client(on.proxy.port) as client:
            on.request(client, path)
            client.head()
            client.reset()
    assert len(on.ask(path).body) == 8 << 20
    assert on.asked(path) == 1


def test_an_upgrade_passes(on: Stage) -> None:
    """RFC 9110, section 7.8: what asks for another protocol is no business of the cache."""
    path = on.path("upgrade")

    def upgrade(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: odd\r\n\r\nhello")
        exchange.send(exchange.read_exactly(4))

    on.origin.on(path, upgrade)
    for _ in range(2):
        with Client(on.proxy.port) as client:
            on.request(client, path, "Connection: Upgrade", "Upgrade: odd")
            assert client.response().status == 101
            client.send(b"ping")
            assert client.read_exactly(9) == b"helloping"
    assert on.asked(path) == 2


def test_uploads_pass(on: Stage) -> None:
    path, body = on.path("upload"), bytes(range(256)) * 8000
    on.origin.on(path, lambda exchange: Answer(200, (HOUR,)).send(exchange, exchange.read_body()))
    for method in ("POST", "PUT"):
        assert on.ask(path, method=method, body=body).body == body
    with Client(on.proxy.port) as client:
        target = on.url(path) if on.forward else path
        head = f"POST {target} HTTP/1.1\r\nHost: {on.host()}\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.send(head.encode() + chunked(body, body))
        assert client.response().body == body + body


def test_early_hints_come_before_a_miss_only(on: Stage) -> None:
    path = on.path("hints")

    def hints(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        Answer(200, (HOUR,)).send(exchange, b"x")

    on.origin.on(path, hints)
    assert [len(on.ask(path).interim) for _ in range(3)] == [1, 0, 0]


def test_a_refusal_goes_before_a_hit() -> None:
    """Who may not use a route gets nothing of it from the store."""
    routes = [{**route(), "match": {"path": "/*", "client": ["127.0.0.1"]}}]
    with Origin() as origin, Proxy(reverse([origin.address], routes=routes)) as proxy:
        origin.on("/x", Script(Answer(200, (HOUR,), b"inside")))
        assert fetch(proxy.port, "/x").body == b"inside"
        assert fetch(proxy.port, "/x", source="127.0.0.9").status == 404


def test_header_rules_hold_for_hits() -> None:
    rules = {"response": {"set": {"X-Set": "new", "Server": "none"}, "remove": ["X-Gone"]}}
    with Origin() as origin, Proxy(reverse([origin.address], routes=[{**route(), "headers": rules}])) as proxy:
        on = Stage(proxy, origin)
        on.on("/x", HOUR, "X-Gone: 1", "X-Set: old", "X-Stays: 1", "Server: odd")
        responses = [on.ask("/x") for _ in range(3)]
        for response in responses:
            assert response.fields.get("X-Set") == "new"
            assert response.fields.get("Server") == "none"
            assert response.fields.get("X-Stays") == "1"
            assert "X-Gone" not in response.fields
        assert on.asked("/x") == 1


def test_rewritten_paths_are_kept_apart() -> None:
    """Two paths that become one at the server are two for the client, and the other way round."""
    routes = [
        {**route(), "name": "v1", "match": {"path": "/v1/*"}, "rewrite": {"strip_prefix": "/v1"}},
        {**route(), "name": "v2", "match": {"path": "/v2/*"}, "rewrite": {"strip_prefix": "/v2"}},
    ]
    with Origin() as origin, Proxy(reverse([origin.address], routes=routes)) as proxy:
        on = Stage(proxy, origin)
        on.on("/x", HOUR)
        first, second = on.ask("/v1/x"), on.ask("/v2/x")
        assert first.status == second.status == 200
        assert on.ask("/v1/x").body == first.body
        assert on.ask("/v2/x").body == second.body


def test_routes_by_a_header_do_not_share_what_they_store() -> None:
    """The same URL goes to two pools by a header: one key for both would mix them."""
    beta = {**route(), "name": "beta", "match": {"header": {"x-beta": "1"}}, "pool": "beta"}
    with Origin("a") as a, Origin("b") as b:
        config = reverse([a.address], routes=[beta, route()], pools={"beta": {"servers": [b.address]}})
        with Proxy(config) as proxy:
            a.on("/x", Script(Answer(200, (HOUR,), b"stable")))
            b.on("/x", Script(Answer(200, (HOUR,), b"beta")))
            for _ in range(2):
                assert fetch(proxy.port, "/x").body == b"stable"
                assert fetch(proxy.port, "/x", pairs(("x-beta: 1",))).body == b"beta"


def test_the_proxys_own_answers_are_not_stored() -> None:
    with reverse_stage(ttl="1h", ttl_by_status={"5xx": "1h"}) as on:
        on.origin.on("/x", lambda exchange: exchange.reset())
        assert on.ask("/x").status == 502
        on.on("/x", body=b"back")
        assert on.ask("/x").body == b"back"


def test_hits_go_on_while_it_drains() -> None:
    with reverse_stage() as on:
        size = 4 << 20
        on.on("/x", HOUR, body=bytes(size))
        on.ask("/x")
        with Client(on.proxy.port) as client:
            on.request(client, "/x")
            assert client.head().status == 200
            on.proxy.process.terminate()
            assert len(client.read_exactly(size)) == size
        assert on.proxy.wait() == 0
