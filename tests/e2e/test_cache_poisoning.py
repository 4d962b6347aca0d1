"""What an attacker sends must not come back to anyone else: a client with nothing to hide asks after each."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.support.cache import Answer, Stage, pairs, stage
from tests.support.client import Client, Response, fetch_raw
from tests.support.origin import Exchange
from tests.support.proxy import resident
from tests.support.stream import Closed

HOUR = "Cache-Control: max-age=3600"
MARK = "attack"


@pytest.fixture(scope="module", params=["reverse", "forward"])
def on(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with stage(request.param) as ready:
        yield ready


def reflects(exchange: Exchange) -> None:
    """An origin as careless as they come: it puts all that it got into a response that may be stored."""
    body = exchange.read_body()
    Answer(200, (HOUR,)).send(exchange, exchange.request.raw + body)


def clean(on: Stage, path: str) -> Response:
    """A second client's request."""
    response = on.ask(path)
    assert MARK not in response.body.decode("latin-1").lower(), "the second client sees the attacker's request"
    assert MARK not in str(response.fields).lower()
    assert response.status == 200
    return response


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-For",
        "X-Forwarded-Prefix",
        "X-Host",
        "X-Original-URL",
        "X-Rewrite-URL",
        "Forwarded",
    ],
)
def test_unkeyed_forwarding_fields(on: Stage, name: str) -> None:
    """What says who or where the client is either does not reach the origin, or does not reach the store."""
    path = on.path(name)
    on.origin.on(path, reflects)
    value = f"host={MARK}.example" if name == "Forwarded" else f"{MARK}.example"
    on.ask(path, f"{name}: {value}")
    clean(on, path)


@pytest.mark.parametrize("status", [400, 413, 421, 431, 407])
def test_a_request_error_is_not_kept(on: Stage, status: int) -> None:
    """Oversize or odd fields make the origin refuse this request (CPDoS); the next one is not refused."""
    path = on.path("oversize")

    def picky(exchange: Exchange) -> None:
        large = len(exchange.request.raw) > 4000
        Answer(status if large else 200, (HOUR,)).send(exchange, b"refused" if large else b"fine")

    on.origin.on(path, picky)
    assert on.ask(path, "X-Big: " + "a" * 5000).status == status
    assert clean(on, path).body == b"fine"


def test_a_meta_character_is_not_kept(on: Stage) -> None:
    path = on.path("meta")

    def picky(exchange: Exchange) -> None:
        odd = "X-Meta" in exchange.request.fields
        Answer(400 if odd else 200).send(exchange, b"refused" if odd else b"fine")

    on.origin.on(path, picky)
    on.ask(path, "X-Meta: ${attack}")
    assert clean(on, path).body == b"fine"


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "HEAD"])
def test_method_override(on: Stage, name: str, method: str) -> None:
    path = on.path("override")

    def obeys(exchange: Exchange) -> None:
        given = exchange.request.fields.get(name) or "GET"
        Answer(200 if given == "GET" else 404, (HOUR,)).send(exchange, b"fine" if given == "GET" else MARK.encode())

    on.origin.on(path, obeys)
    on.ask(path, f"{name}: {method}")
    assert clean(on, path).body == b"fine"


def test_a_fat_get(on: Stage) -> None:
    """The body of a GET is not part of the key, so its response is not stored; nor is it served what is."""
    path = on.path("fat")
    on.origin.on(path, reflects)
    assert on.ask(path, body=b"x=attack").status in (200, 400)
    clean(on, path)
    assert b"again=1" in on.ask(path, body=b"again=1").body, "it goes to the origin"


def test_a_fat_get_in_chunks(on: Stage) -> None:
    path = on.path("fat-chunks")
    on.origin.on(path, reflects)
    with Client(on.proxy.port) as client:
        target = on.url(path) if on.forward else path
        head = f"GET {target} HTTP/1.1\r\nHost: {on.host()}\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.send(head.encode() + b"6\r\nattack\r\n0\r\n\r\n")
        client.response()
    clean(on, path)


@pytest.mark.parametrize("query", ["a=1&b=attack", "b=attack&a=1", "a=1;b=attack", "a=1&a=attack", "a=1%26b=attack"])
def test_queries_that_servers_read_differently(on: Stage, query: str) -> None:
    """Nothing of a query is left out of the key unless it is told to be."""
    path = on.path("query")
    on.origin.on(path, reflects)
    on.ask(f"{path}?{query}")
    clean(on, f"{path}?a=1")
    clean(on, path)


@pytest.mark.parametrize(
    ("attack", "victim"),
    [("/%61", "/a"), ("/a/", "/a"), ("//a", "/a"), ("/A", "/a"), ("/a%2fb", "/a/b"), ("/a;x=attack", "/a")],
)
def test_spellings_of_a_path(on: Stage, attack: str, victim: str) -> None:
    """Paths that some server takes for the same have responses of their own, where the bytes sent on differ."""
    base = on.path("spelling")
    on.origin.default = reflects
    first = on.ask(base + attack)
    second = on.ask(base + victim)
    assert f"GET {base}{victim} ".encode() in second.body
    assert first.status in (200, 400)


def test_a_bomb_of_vary(on: Stage) -> None:
    """Thousands of variants of one resource do not fill the memory, and do not lose right answers."""
    path = on.path("bomb")

    def varied(exchange: Exchange) -> None:
        kind = exchange.request.fields.get("X-A") or "none"
        Answer(200, (HOUR, "Vary: X-A")).send(exchange, kind.encode())

    on.origin.on(path, varied)
    with Client(on.proxy.port) as client:
        for number in range(3000):
            on.request(client, path, f"X-A: {number}-" + "v" * 500)
            assert client.response().body == f"{number}-".encode() + b"v" * 500
    assert resident(on.proxy) < 512 << 20
    assert on.ask(path).body == b"none"
    assert on.ask(path, "X-A: own").body == b"own"


def test_a_huge_vary(on: Stage) -> None:
    """More names than are kept apart: not stored, never mixed."""
    path = on.path("huge-vary")

    def varied(exchange: Exchange) -> None:
        kind = exchange.request.fields.get("X-399") or "none"
        names = ", ".join(f"X-{number}" for number in range(400))
        Answer(200, (HOUR, f"Vary: {names}")).send(exchange, kind.encode())

    on.origin.on(path, varied)
    assert on.ask(path, "X-399: attack").body == b"attack"
    assert clean(on, path).body == b"none"


@pytest.mark.parametrize("vary", ["X-A,", "X A", "X-A;q=1", '"X-A"', "(x)", "X-A, @"])
def test_a_vary_that_cannot_be_read(on: Stage, vary: str) -> None:
    path = on.path("odd-vary")

    def varied(exchange: Exchange) -> None:
        Answer(200, (HOUR, f"Vary: {vary}")).send(exchange, (exchange.request.fields.get("X-A") or "none").encode())

    on.origin.on(path, varied)
    on.ask(path, "X-A: attack")
    assert clean(on, path).body == b"none"


@pytest.mark.parametrize(
    "query",
    [
        "x=%0d%0aSet-Cookie:%20attack=1",
        "x=%0aX-Attack:%201",
        "x=%E5%98%8A%E5%98%8DX-Attack:1",
        "x=%0d%0a%0d%0aHTTP/1.1%20200%20OK",
    ],
)
def test_response_splitting_by_the_origin(on: Stage, query: str) -> None:
    """Percent-encoded line breaks stay what they are in keys, in `Cache-Status` and in what is stored."""
    path = on.path("split")
    on.on(path, HOUR)
    for _ in range(2):
        response = on.ask(f"{path}?{query}")
        assert response.status == 200
        assert not {"set-cookie", "x-attack"} & response.fields.names()


def test_two_responses_for_one_request(on: Stage) -> None:
    """What stands behind a response is no response to the next request, nor stored for it."""
    path, next_path = on.path("double"), on.path("next")

    def double(exchange: Exchange) -> None:
        exchange.read_body()
        answer = f"HTTP/1.1 200 OK\r\n{HOUR}\r\nContent-Length: 6\r\n\r\n".encode()
        exchange.send(answer + b"honest" + answer + b"attack")

    on.origin.on(path, double)
    on.on(next_path, HOUR, body=b"next")
    with Client(on.proxy.port) as client:
        on.request(client, path)
        assert client.response().body == b"honest"
        on.request(client, next_path)
        assert client.response().body == b"next"
    assert clean(on, next_path).body == b"next"
    assert on.ask(path).body == b"honest"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 6\r\nContent-Length: 60",
        b"Content-Length: 6\r\nTransfer-Encoding: chunked",
        b"Content-Length: 6\r\nX-Bad: a\rb",
        b"Content-Length: 6\r\n folded: x",
        b"Content-Length: 6\r\nX-Nul: a\0b",
    ],
)
def test_malformed_responses_are_not_stored(on: Stage, head: bytes) -> None:
    path = on.path("malformed")

    def malformed(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\n" + HOUR.encode() + b"\r\n" + head + b"\r\n\r\nattack")
        exchange.close()

    on.origin.on(path, malformed)
    with contextlib.suppress(Closed, AssertionError):
        on.ask(path)
    on.on(path, HOUR, body=b"fine")
    assert clean(on, path).body == b"fine"


def test_smuggled_requests_are_not_answered_into_the_store(on: Stage) -> None:
    """Both framings: refused, and nothing is stored under what hides in the body."""
    path = on.path("smuggled")
    on.origin.on(path, reflects)
    target = on.url(path) if on.forward else path
    hidden = f"GET {target} HTTP/1.1\r\nHost: {on.host()}\r\nX-Attack: attack\r\n\r\n".encode()
    head = f"GET {target} HTTP/1.1\r\nHost: {on.host()}\r\nContent-Length: {len(hidden) + 5}\r\n"
    response = fetch_raw(on.proxy.port, head.encode() + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden)
    assert response.status == 400
    clean(on, path)


def test_the_host_field_does_not_poison_an_absolute_target(on: Stage) -> None:
    """RFC 9112, section 3.2.2: the target's host counts, for the key too."""
    path = on.path("absolute")
    on.origin.on(path, reflects)
    with Client(on.proxy.port) as client:
        client.ask("GET", on.url(path), pairs(("X-Note: 1",)), host="attack.example")
    clean(on, path)


def test_an_attackers_cookie_is_not_stored_for_others(on: Stage) -> None:
    path = on.path("cookie")

    def personal(exchange: Exchange) -> None:
        user = exchange.request.fields.get("Cookie") or "nobody"
        Answer(200, (HOUR, f"Set-Cookie: session={user}")).send(exchange, user.encode())

    on.origin.on(path, personal)
    on.ask(path, "Cookie: attack")
    response = on.ask(path)
    assert (response.fields.get("Set-Cookie"), response.body) == ("session=nobody", b"nobody")


def test_range_attacks_do_not_store_a_part_as_the_whole(on: Stage) -> None:
    path = on.path("range")
    on.on(path, HOUR, "Content-Range: bytes 0-5/6", status=206, body=b"attack")
    on.ask(path, "Range: bytes=0-5")
    on.on(path, HOUR, body=b"fine")
    assert clean(on, path).body == b"fine"


@pytest.mark.parametrize(
    "line",
    [
        "Accept: attack/x",
        "Accept-Language: attack",
        "User-Agent: attack",
        "Upgrade-Insecure-Requests: attack",
        "X-Attack: attack",
        "Connection: attack",
        "Transfer-Encoding: attack",
        "Expect: attack",
        "Upgrade: attack",
    ],
)
def test_errors_that_a_field_provokes_stay_with_it(on: Stage, line: str) -> None:
    """An origin that answers such a request by an error without freshness harms that one only."""
    path = on.path("provoked")

    def picky(exchange: Exchange) -> None:
        hit = MARK in exchange.request.raw.decode("latin-1").lower()
        Answer(500 if hit else 200).send(exchange, b"broken" if hit else b"fine")

    on.origin.on(path, picky)
    on.ask(path, line)
    assert clean(on, path).body == b"fine"
