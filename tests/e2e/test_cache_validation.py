"""RFC 9111, sections 3.2, 4.3, 4.4, 5.2.1 and 5.4: what requests ask, validation, HEAD, invalidation."""

from collections.abc import Iterator

import pytest

from tests.support.cache import Answer, Case, Script, Stage, by_title, case, checked, goes, hits, stage
from tests.support.client import Client
from tests.support.origin import Exchange, Origin, replies, responds

HOUR = "Cache-Control: max-age=3600"
OLD = ("Cache-Control: max-age=60", "Age: 100")
TAGGED = (HOUR, 'ETag: "a"')
#: Stale from the start, with both validators.
STALE = (*OLD, 'ETag: "a"', "Last-Modified: {now-86400}")


def cc(value: str) -> str:
    return f"Cache-Control: {value}"


REQUESTS = [
    case("5.2.1.1 max-age younger than what is stored", goes(HOUR, "Age: 100"), goes(HOUR, ask=(cc("max-age=50"),))),
    case("5.2.1.1 max-age older than what is stored", goes(HOUR, "Age: 100"), hits(cc("max-age=200"))),
    case("5.2.1.1 max-age=0", goes(*TAGGED), checked(*TAGGED, ask=(cc("max-age=0"),))),
    case("5.2.1.1 max-age that cannot be read is safe", goes(HOUR), goes(HOUR, ask=(cc("max-age=x"),))),
    case("5.2.1.2 max-stale allows so much", goes(*OLD, 'ETag: "a"'), hits(cc("max-stale=1000"))),
    case("5.2.1.2 max-stale allows no more", goes(*OLD), goes(*OLD, ask=(cc("max-stale=10"),))),
    case("5.2.1.2 max-stale without a value allows all", goes(*OLD, 'ETag: "a"'), hits(cc("max-stale"))),
    case("5.2.1.2 max-stale that cannot be read allows nothing", goes(*OLD), goes(*OLD, ask=(cc("max-stale=x"),))),
    case(
        "4.2.4 stale without permission is not served",
        goes(*OLD, 'ETag: "a"'),
        checked('ETag: "a"', *OLD),
    ),
    case("5.2.1.3 min-fresh is met", goes(HOUR), hits(cc("min-fresh=100"))),
    case("5.2.1.3 min-fresh is not met", goes(HOUR, "Age: 3000"), goes(HOUR, ask=(cc("min-fresh=1000"),))),
    case("5.2.1.4 no-cache", goes(*TAGGED), checked(*TAGGED, ask=(cc("no-cache"),), sends=('If-None-Match: "a"',))),
    case("5.2.1.4 no-cache in capitals", goes(*TAGGED), checked(*TAGGED, ask=(cc("No-Cache"),))),
    case("5.2.1.4 no-cache among others", goes(*TAGGED), checked(*TAGGED, ask=(cc("max-stale=9, no-cache, foo"),))),
    case("5.2.1.4 what no-cache brings is stored", goes(HOUR), goes(HOUR, ask=(cc("no-cache"),)), hits()),
    case(
        "5.2.1.5 no-store may be served what is stored", goes(HOUR), goes(HOUR, at="/b", ask=(cc("no-store"),)), hits()
    ),
    case("5.2.1.6 no-transform changes nothing", goes(HOUR), hits(cc("no-transform"))),
    case("5.2.1.7 only-if-cached with something stored", goes(HOUR), hits(cc("only-if-cached"))),
    case("5.2 unknown directives of requests", goes(HOUR), hits(cc("foo, bar=1"))),
    case("5.4 Pragma without Cache-Control is no-cache", goes(*TAGGED), checked(*TAGGED, ask=("Pragma: no-cache",))),
    case("5.4 Pragma beside Cache-Control is nothing", goes(*TAGGED), hits("Pragma: no-cache", cc("max-age=3000"))),
    case("5.4 another Pragma is nothing", goes(*TAGGED), hits("Pragma: foo")),
]

VALIDATION = [
    case(
        "4.3.1 the stored entity tag is sent",
        goes(*OLD, 'ETag: "a"'),
        checked('ETag: "a"', HOUR, sends=('If-None-Match: "a"',)),
        hits(of=0),
    ),
    case(
        "4.3.1 a weak entity tag is sent",
        goes(*OLD, 'ETag: W/"a"'),
        checked('ETag: W/"a"', HOUR, sends=('If-None-Match: W/"a"',)),
        hits(of=0),
    ),
    case(
        "4.3.1 the stored date is sent as it stands",
        goes(*OLD, "Last-Modified: Tue, 15 Nov 1994 12:45:26 GMT"),
        checked(HOUR, sends=("If-Modified-Since: Tue, 15 Nov 1994 12:45:26 GMT",)),
        hits(of=0),
    ),
    case(
        "4.3.1 the conditions of the client are not those of the cache",
        goes(*OLD, 'ETag: "a"'),
        checked(HOUR, 'ETag: "a"', ask=('If-None-Match: "a"',), status=304),
        hits(of=0),
    ),
    case(
        "4.3.1 without a validator the whole is fetched", goes(*OLD), goes(HOUR, omits=("If-None-Match",)), hits(of=1)
    ),
    case(
        "4.3.2 If-None-Match that fits",
        goes(*TAGGED),
        hits('If-None-Match: "a"', status=304, shows=('ETag: "a"', HOUR)),
    ),
    case("4.3.2 If-None-Match in a list", goes(*TAGGED), hits('If-None-Match: "x", "a" , "y"', status=304)),
    case(
        "4.3.2 If-None-Match in several lines",
        goes(*TAGGED),
        hits('If-None-Match: "x"', 'If-None-Match: "a"', status=304),
    ),
    case("4.3.2 If-None-Match is weak", goes(*TAGGED), hits('If-None-Match: W/"a"', status=304)),
    case("4.3.2 If-None-Match against a weak one", goes(HOUR, 'ETag: W/"a"'), hits('If-None-Match: "a"', status=304)),
    case("4.3.2 If-None-Match of anything", goes(*TAGGED), hits("If-None-Match: *", status=304)),
    case("4.3.2 If-None-Match of another", goes(*TAGGED), hits('If-None-Match: "b"', status=200)),
    case("4.3.2 If-None-Match, tag without quotes", goes(*TAGGED), hits("If-None-Match: a", status=200)),
    case("4.3.2 entity tags have case", goes(*TAGGED), hits('If-None-Match: "A"', status=200)),
    case("4.3.2 a comma inside of a tag", goes(HOUR, 'ETag: "a,b"'), hits('If-None-Match: "x", "a,b"', status=304)),
    case("4.3.2 If-None-Match of HEAD", goes(*TAGGED), hits('If-None-Match: "a"', method="HEAD", status=304)),
    case(
        "4.3.2 If-Modified-Since at the date",
        goes(HOUR, "Last-Modified: Tue, 15 Nov 1994 12:45:26 GMT"),
        hits("If-Modified-Since: Tue, 15 Nov 1994 12:45:26 GMT", status=304),
        hits("If-Modified-Since: Wed, 16 Nov 1994 12:45:26 GMT", status=304),
        hits("If-Modified-Since: Mon, 14 Nov 1994 12:45:26 GMT", status=200, of=0),
        hits("If-Modified-Since: yesterday", status=200, of=0),
        hits("If-Modified-Since: Tuesday, 15-Nov-94 12:45:26 GMT", status=304),
        hits("If-Modified-Since: Tue Nov 15 12:45:26 1994", status=304),
    ),
    case(
        "4.3.2 If-None-Match goes before If-Modified-Since",
        goes(*TAGGED, "Last-Modified: {now-100}"),
        hits('If-None-Match: "b"', "If-Modified-Since: {now}", status=200, of=0),
        hits('If-None-Match: "a"', "If-Modified-Since: {now-9999}", status=304),
    ),
    case(
        "4.3.2 without a date of modification Date counts",
        goes(HOUR, "Date: {now-50}"),
        hits("If-Modified-Since: {now}", status=304),
        hits("If-Modified-Since: {now-100}", status=200, of=0),
    ),
    case(
        "4.3.2 other preconditions are for the origin",
        goes(*TAGGED),
        goes(*TAGGED, ask=('If-Match: "a"',), sends=('If-Match: "a"',)),
        goes(*TAGGED, ask=("If-Unmodified-Since: {now}",)),
    ),
    case("4.3.2 a stored 404 knows no conditions", goes(*TAGGED, status=404), hits('If-None-Match: "a"', status=404)),
    case("4.3.3 a whole response replaces", goes(*STALE), goes(*TAGGED, sends=('If-None-Match: "a"',)), hits(of=1)),
    case("4.3.3 an error is passed on", goes(*STALE), goes(status=500), checked(*TAGGED, of=0)),
    case(
        "4.3.4 fields of the 304 replace the stored ones",
        goes(*OLD, 'ETag: "a"', "X-One: 1", "X-Two: 2", "X-Three: 3"),
        checked(HOUR, 'ETag: "a"', "X-Two: 22", "X-Four: 4", shows=("X-One: 1", "X-Two: 22", "X-Four: 4")),
        hits(shows=("X-One: 1", "X-Two: 22", "X-Three: 3", "X-Four: 4", HOUR)),
    ),
    case(
        "3.2 fields that describe the stored content stay",
        goes(*OLD, 'ETag: "a"', "Content-Type: text/a", "Content-Encoding: x-a"),
        checked(HOUR, 'ETag: "a"', "Content-Length: 0", "Content-Encoding: x-b", "Content-Range: bytes 0-0/1"),
        hits(of=0, shows=("Content-Encoding: x-a",), hides=("Content-Range",)),
    ),
    case(
        "4.3.4 the age begins anew",
        goes(*OLD, 'ETag: "a"', "Date: {now-500}"),
        checked(HOUR, 'ETag: "a"', "Date: {now}"),
        hits(age=(0, 20)),
    ),
    case(
        "4.3.4 what the 304 says of storing holds",
        goes(*OLD, 'ETag: "a"'),
        checked(cc("no-store"), 'ETag: "a"'),
        goes(HOUR, 'ETag: "b"'),
    ),
    case(
        "4.3.4 a variant is updated alone",
        goes(*OLD, 'ETag: "a"', "Vary: X-A", ask=("X-A: 1",)),
        goes(*OLD, 'ETag: "b"', "Vary: X-A", ask=("X-A: 2",)),
        checked(HOUR, 'ETag: "a"', "Vary: X-A", ask=("X-A: 1",), of=0),
        hits("X-A: 1", of=0),
        checked(HOUR, 'ETag: "b"', "Vary: X-A", ask=("X-A: 2",), of=1),
    ),
]

HEADS = [
    case(
        "4 HEAD from a stored GET",
        goes(*TAGGED, body=b"12345"),
        hits(method="HEAD", shows=("Content-Length: 5", 'ETag: "a"')),
    ),
    case("4 HEAD from a stale GET goes on", goes(*OLD), goes(*OLD, method="HEAD")),
    case("3 a HEAD alone answers no GET", goes(HOUR, method="HEAD"), goes(HOUR)),
    case(
        "4.3.5 a HEAD that fits makes it fresh",
        goes(*OLD, 'ETag: "a"', body=b"12345"),
        goes(HOUR, 'ETag: "a"', method="HEAD", body=b"12345"),
        hits(of=0),
    ),
    case(
        "4.3.5 a HEAD with another length makes it stale",
        goes(*TAGGED, body=b"12345"),
        goes(*TAGGED, method="HEAD", body=b"123456789", ask=(cc("no-cache"),)),
        goes(HOUR),
    ),
    case(
        "4.3.5 a HEAD with another entity tag makes it stale",
        goes(*TAGGED, body=b"12345"),
        goes(HOUR, 'ETag: "b"', method="HEAD", body=b"12345", ask=(cc("no-cache"),)),
        goes(HOUR),
    ),
]


def unsafe(method: str, status: int, *, gone: bool, title: str = "") -> Case:
    then = goes(HOUR) if gone else hits(of=0)
    return case(
        title or f"4.4 {method} with {status} {'invalidates' if gone else 'changes nothing'}",
        goes(HOUR),
        goes(method=method, status=status, upload=b"x" if method in ("POST", "PUT", "PATCH") else None),
        then,
    )


INVALIDATION = [
    *(unsafe(method, 200, gone=True) for method in ("POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "FOO")),
    *(unsafe("POST", status, gone=True) for status in (201, 204, 302, 303)),
    *(unsafe("POST", status, gone=False) for status in (400, 403, 404, 409, 500, 502, 503)),
    unsafe("OPTIONS", 200, gone=False),
    *(
        case(
            f"4.4 {name} on the same origin",
            goes(HOUR, at="/other"),
            goes(f"{name}: {{base}}/other", method="POST", upload=b"x", at="/post"),
            goes(HOUR, at="/other"),
        )
        for name in ("Location", "Content-Location")
    ),
    case(
        "4.4 all variants go",
        goes(HOUR, "Vary: X-A", ask=("X-A: 1",)),
        goes(HOUR, "Vary: X-A", ask=("X-A: 2",)),
        goes(method="POST", upload=b"x"),
        goes(HOUR, "Vary: X-A", ask=("X-A: 1",)),
        goes(HOUR, "Vary: X-A", ask=("X-A: 2",)),
    ),
    case(
        "4.4 another query is another resource",
        goes(HOUR, at="?a=1"),
        goes(method="POST", upload=b"x", at="?a=2"),
        hits(at="?a=1"),
    ),
    case("4 unsafe methods are written through", *(goes(HOUR, method="POST", upload=b"x") for _ in range(3))),
]


@pytest.fixture(scope="module", params=["reverse", "forward"])
def on(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with stage(request.param) as ready:
        yield ready


@pytest.mark.parametrize("row", by_title(REQUESTS))
def test_what_requests_ask(on: Stage, row: Case) -> None:
    row.run(on)


@pytest.mark.parametrize("row", by_title(VALIDATION))
def test_validation(on: Stage, row: Case) -> None:
    row.run(on)


@pytest.fixture(scope="module", params=["reverse", "forward"])
def unconverted(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A HEAD stays a HEAD."""
    with stage(request.param, convert_head=False) as ready:
        yield ready


@pytest.mark.parametrize("row", by_title(HEADS))
def test_head(unconverted: Stage, row: Case) -> None:
    row.run(unconverted)


@pytest.mark.parametrize("row", by_title(INVALIDATION))
def test_invalidation(on: Stage, row: Case) -> None:
    row.run(on)


def test_5_2_1_7_only_if_cached_with_nothing_stored(on: Stage) -> None:
    path = on.path("only")
    response = on.ask(path, cc("only-if-cached"))
    assert response.status == 504
    assert not on.asked(path)
    assert on.proxy.record(path)["reason"] == "only_if_cached"


def test_5_2_1_7_only_if_cached_with_something_stale(on: Stage) -> None:
    path = on.path("only-stale")
    on.on(path, *STALE)
    on.ask(path)
    assert on.ask(path, cc("only-if-cached")).status == 504
    assert on.asked(path) == 1


def test_4_3_4_a_304_of_another_response_is_not_used(on: Stage) -> None:
    """The origin speaks of an entity tag that is not stored: what is stored is not served for it, nor made fresh."""
    path = on.path("other")
    script = Script(Answer(200, STALE), Answer(304, (HOUR, 'ETag: "b"')), Answer(200, TAGGED))
    on.origin.on(path, script)
    on.ask(path)
    second, third = on.ask(path), on.ask(path)
    assert script.bodies[0] not in (second.body, third.body)
    assert third.body == script.bodies[1]
    assert "If-None-Match" not in on.origin.seen(path)[2].fields


def test_4_3_2_a_client_with_another_version_gets_the_whole(on: Stage) -> None:
    """Both have something old, but not the same: a 304 for the cache is none for the client."""
    path = on.path("both")
    script = Script(Answer(200, STALE), Answer(304, TAGGED))
    on.origin.on(path, script)
    on.ask(path)
    response = on.ask(path, 'If-None-Match: "z"')
    assert (response.status, response.body) == (200, script.bodies[0])


def test_4_3_2_a_condition_with_nothing_stored(on: Stage) -> None:
    """The client's own entity tag is the origin's to judge."""
    path = on.path("fresh-start")

    def judge(exchange: Exchange) -> None:
        fits = exchange.request.fields.get("If-None-Match") == '"a"'
        Answer(304 if fits else 200, TAGGED).send(exchange, b"whole")

    on.origin.on(path, judge)
    assert on.ask(path, 'If-None-Match: "a"').status == 304
    response = on.ask(path)
    assert (response.status, response.body) == (200, b"whole"), "a 304 is not stored as a response"


def test_4_3_3_304_for_nobody_in_particular(on: Stage) -> None:
    """A 304 that no condition asked for is never made an answer to those who have nothing."""
    path = on.path("stray")
    script = Script(Answer(304, TAGGED), Answer(200, TAGGED, b"whole"))
    on.origin.on(path, script)
    on.ask(path)
    assert on.ask(path).body == b"whole"


def test_3_3_an_incomplete_response_is_not_used(on: Stage) -> None:
    """RFC 9111, section 3.3: what broke off is no complete response."""
    for name, head in (("length", b"Content-Length: 100"), ("chunked", b"Transfer-Encoding: chunked")):
        path = on.path(name)

        def breaks(exchange: Exchange, head: bytes = head) -> None:
            exchange.read_body()
            exchange.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\n" + head + b"\r\n\r\n4\r\nhalf\r\n")
            exchange.close()

        on.origin.on(path, breaks)
        with Client(on.proxy.port) as client:
            on.request(client, path)
            client.expect_broken_off(client.head())
        script = on.on(path, HOUR)
        assert on.ask(path).body == script.bodies[0]


def test_3_3_a_body_until_close_is_stored_whole(on: Stage) -> None:
    path = on.path("until-close")

    def closes(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nConnection: close\r\n\r\nall of it")
        exchange.close()

    on.origin.on(path, closes)
    assert on.ask(path).body == b"all of it"
    again = on.ask(path)
    assert (again.body, on.asked(path)) == (b"all of it", 1)


def test_3_1_chunked_is_stored_without_its_framing(on: Stage) -> None:
    path = on.path("chunked")

    def chunks(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nTransfer-Encoding: chunked\r\n\r\n")
        exchange.send(b"5\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: t\r\n\r\n")

    on.origin.on(path, chunks)
    assert on.ask(path).body == b"hello world"
    again = on.ask(path)
    assert (again.body, again.fields.get("Content-Length"), on.asked(path)) == (b"hello world", "11", 1)
    assert "X-Trailer" not in again.fields, "RFC 9110, section 6.5.1: trailers are not merged into the head"


def test_3_interim_responses_are_not_stored(on: Stage) -> None:
    path = on.path("interim")

    def hints(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nCache-Control: max-age=3600\r\nLink: </a>; rel=preload\r\n\r\n")
        Answer(200, (HOUR,)).send(exchange, b"final")

    on.origin.on(path, hints)
    assert on.ask(path).body == b"final"
    again = on.ask(path)
    assert (again.status, again.body, on.asked(path)) == (200, b"final", 1)
    assert "Link" not in again.fields


@pytest.mark.parametrize("lines", ["Content-Length: 1\r\nX-Last: 1", "X-Last: 1\r\nContent-Length: 1"])
def test_date_is_added_where_the_origin_sends_none(on: Stage, lines: str) -> None:
    """RFC 9110, section 6.6.1: a recipient with a clock adds it to what it stores or passes on."""
    stored, passed = on.path("date"), on.path("no-store")
    on.origin.on(stored, replies(f"HTTP/1.1 200 OK\r\n{HOUR}\r\n{lines}\r\n\r\nx".encode()))
    on.origin.on(passed, replies(f"HTTP/1.1 200 OK\r\n{lines}\r\n\r\nx".encode()))
    first, second, third = on.ask(stored), on.ask(stored), on.ask(passed)
    assert [response.body for response in (first, second, third)] == [b"x"] * 3
    assert first.fields.get("Date")
    assert second.fields.get("Date") == first.fields.get("Date")
    assert third.fields.get("Date")
    assert on.asked(stored) == 1


def test_2_the_host_is_part_of_the_key(on: Stage) -> None:
    """And its spelling is not."""
    if on.forward:
        pytest.skip("the origin has one name here")
    path = on.path("host")
    script = on.on(path, HOUR)
    for host in ("a.example", "b.example", "A.EXAMPLE", "a.example:80"):
        with Client(on.proxy.port) as client:
            body = client.ask("GET", path, host=host).body
        assert body == script.bodies[host == "b.example"], host
    assert on.asked(path) == 2


def test_4_4_no_origin_invalidates_what_is_of_another(on: Stage) -> None:
    """An answer must not throw away what others have said."""
    path = on.path("victim")
    on.on(path, HOUR)
    on.ask(path)
    with Origin(host="127.0.0.2") as other, Client(on.proxy.port) as client:
        for name in ("Location", "Content-Location"):
            handler = responds(201, b"made", (name, on.url(path)))
            other.on(path, handler)
            on.on(f"{path}/post", f"{name}: {on.url(path)}")
            target = f"http://{other.address}{path}" if on.forward else f"{path}/post"
            host = other.address if on.forward else "evil.example"
            assert client.ask("POST", target, body=b"x", host=host).fields.get(name) == on.url(path)
    on.ask(path)
    assert on.asked(path) == 1


def test_the_titles_differ() -> None:
    titles = [row.title for row in REQUESTS + VALIDATION + HEADS + INVALIDATION]
    assert len(titles) == len(set(titles))
