"""RFC 9111, sections 3, 4.1, 4.2 and 5.2.2: what is stored, and how long it is fresh. The section begins each title."""

from collections.abc import Iterator

import pytest

from tests.support.cache import Case, Stage, by_title, case, checked, goes, hits, stage

HOUR = "Cache-Control: max-age=3600"
AUTHORIZED = ("Authorization: Basic dGhlaXI6b3du",)
FRESH_BY_RULE = ("Date: {now}", "Last-Modified: {now-864000}")


def cc(value: str) -> str:
    return f"Cache-Control: {value}"


def twice(title: str, *lines: str, fresh: bool, status: int = 200, ask: tuple[str, ...] = ()) -> Case:
    """The same request twice; the second is answered from the store or not."""
    first = goes(*lines, status=status, ask=ask)
    return case(title, first, hits(*ask) if fresh else goes(*lines, status=status, ask=ask))


STORING = [
    twice("3 max-age is stored", HOUR, fresh=True),
    twice("3 Expires in the future is stored", "Date: {now}", "Expires: {now+3600}", fresh=True),
    twice("3 s-maxage is stored", cc("s-maxage=3600"), fresh=True),
    twice("3 nothing says how long", fresh=False),
    twice("3 public alone with a date of modification", cc("public"), *FRESH_BY_RULE, fresh=True),
    case(
        "3 the method is understood",
        goes(HOUR, method="BREW"),
        goes(HOUR, method="BREW"),
        goes(HOUR),
    ),
    case("3 a POST is not answered from a stored GET", goes(HOUR), goes(HOUR, method="POST", upload=b"x")),
    case("3 a PUT is not answered from a stored GET", goes(HOUR), goes(HOUR, method="PUT", upload=b"x")),
    case("3 an OPTIONS is not answered from a stored GET", goes(HOUR), goes(HOUR, method="OPTIONS"), hits(of=0)),
    case("3 a response to POST is not stored for GET", goes(HOUR, method="POST", upload=b"x"), goes(HOUR)),
    case("3 a response to OPTIONS is not stored", goes(HOUR, method="OPTIONS"), goes(HOUR, method="OPTIONS")),
    case("3 request no-store is not stored", goes(HOUR, ask=(cc("no-store"),)), goes(HOUR)),
    case(
        "3 request no-store beside other directives",
        goes(HOUR, ask=(cc("max-age=3600, No-Store"),)),
        goes(HOUR),
    ),
    twice("3 unknown status without freshness", *FRESH_BY_RULE, status=299, fresh=False),
    twice("3 Set-Cookie without permission is not shared", HOUR, "Set-Cookie: a=1", fresh=False),
    case(
        "3.1 unrecognised fields are stored",
        goes(HOUR, "X-Odd: one", "X-Odd: two", "Strange-Field: \t b ; c"),
        hits(shows=("X-Odd: one, two", "Strange-Field: b ; c")),
    ),
    case(
        "3.1 fields of one hop are not stored",
        goes(HOUR, "Connection: X-Hop", "X-Hop: secret", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive"),
        hits(hides=("X-Hop", "Keep-Alive", "Proxy-Connection")),
    ),
    case(
        "3.1 fields of proxy authentication are not stored",
        goes(HOUR, 'Proxy-Authenticate: Basic realm="x"', "Proxy-Authentication-Info: a=b", "Proxy-Authorization: x"),
        hits(hides=("Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization")),
    ),
    case(
        "3.1 the reason and Content-Type stay",
        goes(HOUR, "Content-Type: text/x"),
        hits(shows=("Content-Type: text/x",)),
    ),
    case(
        "3.1 Age of before is counted on, not repeated",
        goes(HOUR, "Age: 50"),
        hits(age=(50, 70)),
    ),
    twice("3.5 an authorized request", HOUR, ask=AUTHORIZED, fresh=False),
    case("3.5 an authorized response is not for others", goes(HOUR, ask=AUTHORIZED), goes(HOUR)),
    twice("3.5 authorized and public", cc("max-age=3600, public"), ask=AUTHORIZED, fresh=True),
    twice("3.5 authorized and must-revalidate", cc("max-age=3600, must-revalidate"), ask=AUTHORIZED, fresh=True),
    twice("3.5 authorized and s-maxage", cc("s-maxage=3600"), ask=AUTHORIZED, fresh=True),
    twice("3.5 authorized, by the heuristic", *FRESH_BY_RULE, ask=AUTHORIZED, fresh=False),
    case("3.5 an authorized request may be served what is stored", goes(HOUR), hits(*AUTHORIZED)),
]

DIRECTIVES = [
    twice("5.2.2.1 max-age", cc("max-age=3600"), fresh=True),
    twice("5.2.2.1 max-age=0", cc("max-age=0"), fresh=False),
    twice("5.2.2.1 max-age in a quoted string", cc('max-age="3600"'), fresh=True),
    twice("5.2.2.2 must-revalidate while fresh", cc("max-age=3600, must-revalidate"), fresh=True),
    case(
        "5.2.2.2 must-revalidate when stale",
        goes(cc("max-age=60, must-revalidate"), "Age: 100", 'ETag: "a"'),
        checked(cc("max-age=60, must-revalidate"), "Age: 100", 'ETag: "a"', ask=(cc("max-stale=9999"),)),
    ),
    twice("5.2.2.3 must-understand with a known status", cc("max-age=3600, must-understand"), fresh=True),
    twice("5.2.2.3 must-understand lifts no-store", cc("max-age=3600, must-understand, no-store"), fresh=True),
    twice("5.2.2.3 must-understand, unknown status", cc("max-age=3600, must-understand"), status=299, fresh=False),
    twice(
        "5.2.2.3 must-understand and no-store, unknown status",
        cc("max-age=3600, must-understand, no-store"),
        status=299,
        fresh=False,
    ),
    case(
        "5.2.2.4 no-cache is validated each time",
        goes(cc("max-age=3600, no-cache"), 'ETag: "a"'),
        checked(cc("max-age=3600, no-cache"), 'ETag: "a"', sends=('If-None-Match: "a"',)),
        checked(cc("max-age=3600, no-cache"), 'ETag: "a"'),
    ),
    twice("5.2.2.4 no-cache without a validator", cc("max-age=3600, no-cache"), fresh=False),
    case(
        "5.2.2.4 no-cache of fields keeps these fields out",
        goes(cc('max-age=3600, no-cache="x-user, X-Other"'), "X-User: alice", "x-other: b", "X-Third: c"),
        hits(hides=("X-User", "X-Other"), shows=("X-Third: c",)),
    ),
    case(
        "5.2.2.4 no-cache of Set-Cookie",
        goes(cc('max-age=3600, no-cache="Set-Cookie"'), "Set-Cookie: a=1"),
        hits(hides=("Set-Cookie",)),
    ),
    twice("5.2.2.5 no-store", cc("no-store, max-age=3600"), fresh=False),
    twice("5.2.2.5 no-store in capitals", cc("NO-STORE, Max-Age=3600"), fresh=False),
    twice("5.2.2.5 no-store in a second line", HOUR, cc("no-store"), fresh=False),
    twice("5.2.2.5 no-store with an argument", cc("no-store=x, max-age=3600"), fresh=False),
    case(
        "5.2.2.6 no-transform leaves the content as it is",
        goes(cc("max-age=3600, no-transform"), "Content-Encoding: x-odd"),
        hits(shows=("Content-Encoding: x-odd", cc("max-age=3600, no-transform"))),
    ),
    twice("5.2.2.7 private", cc("private, max-age=3600"), fresh=False),
    twice("5.2.2.7 private with s-maxage", cc("private, s-maxage=3600"), fresh=False),
    twice("5.2.2.7 private with public", cc("public, private, max-age=3600"), fresh=False),
    case(
        "5.2.2.7 private of fields keeps these fields out",
        goes(cc('max-age=3600, private="X-User"'), "X-User: alice"),
        hits(hides=("X-User",)),
    ),
    twice("5.2.2.7 private of a malformed list", cc("max-age=3600, private=x y"), fresh=False),
    twice("5.2.2.8 proxy-revalidate while fresh", cc("max-age=3600, proxy-revalidate"), fresh=True),
    case(
        "5.2.2.8 proxy-revalidate when stale",
        goes(cc("max-age=60, proxy-revalidate"), "Age: 100", 'ETag: "a"'),
        checked('ETag: "a"', cc("max-age=60"), ask=(cc("max-stale=9999"),)),
    ),
    twice("5.2.2.9 public does not lengthen", cc("public, max-age=0"), fresh=False),
    twice("5.2.2.10 s-maxage over max-age", cc("max-age=0, s-maxage=3600"), fresh=True),
    twice("5.2.2.10 s-maxage=0 over max-age", cc("max-age=3600, s-maxage=0"), fresh=False),
    twice("5.2.2.10 s-maxage over Expires", cc("s-maxage=3600"), "Expires: {now-100}", fresh=True),
    case(
        "5.2.2.10 s-maxage forbids stale use as proxy-revalidate does",
        goes(cc("s-maxage=60"), "Age: 100", 'ETag: "a"'),
        checked('ETag: "a"', cc("s-maxage=60"), ask=(cc("max-stale=9999"),)),
    ),
    twice("5.2.3 unknown directives are nothing", cc('foo, bar=1, baz="x, no-store", max-age=3600'), fresh=True),
    twice("5.2 names without case", cc("MaX-aGe=3600"), fresh=True),
    twice("5.2 empty members", cc(",, max-age=3600 , ,"), fresh=True),
    twice("5.2 no-store inside of a quoted string is none", cc('ext="no-store", max-age=3600'), fresh=True),
    twice("5.2 max-age inside of a quoted string is none", cc('ext="max-age=3600"'), fresh=False),
    twice("5.2 a directive whose name only begins so", cc("max-age-x=3600"), fresh=False),
    twice("5.4 Pragma of a response is nothing", HOUR, "Pragma: no-cache", fresh=True),
]

LIFETIMES = [
    twice("4.2.1 max-age over Expires in the past", HOUR, "Date: {now}", "Expires: {now-100}", fresh=True),
    twice("4.2.1 max-age=0 over Expires ahead", cc("max-age=0"), "Date: {now}", "Expires: {now+3600}", fresh=False),
    twice("4.2.1 Expires counts from Date", "Date: {now-3600}", "Expires: {now-10}", fresh=False),
    twice("4.2.1 two max-age, the shorter one is over", cc("max-age=3600, max-age=60"), "Age: 100", fresh=False),
    twice("4.2.1 two max-age in two lines", cc("max-age=60"), HOUR, "Age: 100", fresh=False),
    twice("4.2.1 two max-age, the same", cc("max-age=3600, max-age=3600"), fresh=True),
    twice("4.2.1 two s-maxage", cc("s-maxage=60, s-maxage=3600"), "Age: 100", fresh=False),
    twice("4.2.1 max-age that is no number", cc("max-age=abc"), fresh=False),
    twice("4.2.1 max-age that is negative", cc("max-age=-1"), fresh=False),
    twice("4.2.1 max-age with a fraction", cc("max-age=3600.5"), fresh=False),
    twice("4.2.1 max-age with a unit", cc("max-age=3600s"), fresh=False),
    twice("4.2.1 max-age without a value", cc("max-age"), fresh=False),
    twice("4.2.1 max-age with an empty value", cc("max-age="), fresh=False),
    twice("4.2.1 max-age with a space before its value", cc("max-age= 3600"), fresh=False),
    twice("4.2.1 max-age that cannot be read over Expires", cc("max-age=x"), "Expires: {now+3600}", fresh=False),
    twice("4.2.1 max-age with leading zeros", cc("max-age=003600"), fresh=True),
    twice("1.2.2 max-age beyond 2^31", cc("max-age=2147483649"), fresh=True),
    twice("1.2.2 max-age beyond 2^64", cc("max-age=99999999999999999999999"), fresh=True),
    twice("4.2.2 a tenth of the time since the modification", *FRESH_BY_RULE, fresh=True),
    twice("4.2.2 modified only now", "Date: {now}", "Last-Modified: {now}", fresh=False),
    twice("4.2.2 modified in the future", "Date: {now}", "Last-Modified: {now+3600}", fresh=False),
    twice("4.2.2 at most a day", "Date: {now-90000}", "Last-Modified: {now-864000000}", fresh=False),
    twice("4.2.2 never against explicit freshness", cc("max-age=60"), *FRESH_BY_RULE, "Age: 100", fresh=False),
    twice("4.2.2 never against an Expires that cannot be read", "Expires: soon", *FRESH_BY_RULE, fresh=False),
    *(
        twice(f"4.2.2 {status} is heuristically cacheable", *FRESH_BY_RULE, status=status, fresh=True)
        for status in (200, 203, 204, 300, 301, 308, 404, 405, 410, 501)
    ),
    *(
        twice(f"4.2.2 {status} is not heuristically cacheable", *FRESH_BY_RULE, status=status, fresh=False)
        for status in (201, 202, 302, 303, 307, 400, 403, 500, 502, 503, 504)
    ),
    *(
        twice(f"3 {status} with explicit freshness", HOUR, status=status, fresh=True)
        for status in (200, 203, 204, 301, 302, 307, 308, 404, 410, 500, 503)
    ),
    twice("4.2.3 Age of before", cc("max-age=100"), "Age: 200", fresh=False),
    twice("4.2.3 Age of before, still fresh", cc("max-age=1000"), "Age: 200", fresh=True),
    twice("4.2.3 the time since Date counts", cc("max-age=100"), "Date: {now-200}", fresh=False),
    twice("4.2.3 the larger of both counts: Age", cc("max-age=100"), "Date: {now-10}", "Age: 200", fresh=False),
    twice("4.2.3 the larger of both counts: Date", cc("max-age=100"), "Date: {now-200}", "Age: 10", fresh=False),
    twice("4.2.3 Date in the future is no bonus", cc("max-age=100"), "Date: {now+3600}", "Age: 200", fresh=False),
    case("4.2.3 the age that is told", goes(HOUR, "Date: {now-200}"), hits(age=(200, 220))),
    case("4.2.3 the larger age is told", goes(HOUR, "Date: {now-200}", "Age: 500"), hits(age=(500, 520))),
    case("4.2.3 without Date the age begins here", goes(HOUR), hits(age=(0, 15))),
    twice("5.1 Age beyond 2^31", HOUR, "Age: 2147483649", fresh=False),
    twice("5.1 Age beyond 2^64", HOUR, "Age: 99999999999999999999999", fresh=False),
    twice("5.1 several Ages, the first counts", HOUR, "Age: 7200, 0", fresh=False),
    twice("5.1 several lines of Age, the first counts", HOUR, "Age: 7200", "Age: 0", fresh=False),
    twice("5.1 Age of zeros", HOUR, "Age: 0000", fresh=True),
    twice("5.3 Expires of now", "Date: {now}", "Expires: {now}", fresh=False),
    *(
        twice(f"5.3 Expires that is no date: {text}", "Date: {now}", f"Expires: {text}", fresh=False)
        for text in (
            "0",
            "-1",
            "never",
            "Thu, 18 Aug 2050 02:01:18",
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 2050 02:01:18 AEST",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Thu,  18  Aug 2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 32 Aug 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 25:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "18 Aug 2050 02:01:18 GMT",
        )
    ),
    twice("5.3 two Expires, one is over", "Date: {now}", "Expires: {now-5}", "Expires: {now+3600}", fresh=False),
]

VARYING = [
    case(
        "4.1 another value, another response",
        goes(HOUR, "Vary: X-A", ask=("X-A: 1",)),
        goes(HOUR, "Vary: X-A", ask=("X-A: 2",)),
        hits("X-A: 1", of=0),
        hits("X-A: 2", of=1),
    ),
    case(
        "4.1 absent is not empty and not anything else",
        goes(HOUR, "Vary: X-A"),
        goes(HOUR, "Vary: X-A", ask=("X-A: 1",)),
        hits(of=0),
        hits("X-A: 1", of=1),
    ),
    twice("4.1 star never matches", HOUR, "Vary: *", fresh=False),
    twice("4.1 star in a list", HOUR, "Vary: X-A, *", fresh=False),
    case(
        "4.1 names without case",
        goes(HOUR, "Vary: x-a", ask=("X-A: 1",)),
        hits("x-A: 1"),
        goes(HOUR, "Vary: X-A", ask=("X-A: 2",)),
    ),
    case(
        "4.1 two names, both must fit",
        goes(HOUR, "Vary: X-A, X-B", ask=("X-A: 1", "X-B: 1")),
        goes(HOUR, "Vary: X-A, X-B", ask=("X-A: 1", "X-B: 2")),
        hits("X-B: 1", "X-A: 1", of=0),
        goes(HOUR, "Vary: X-A, X-B", ask=("X-A: 1",)),
    ),
    case(
        "4.1 two lines of Vary",
        goes(HOUR, "Vary: X-A", "Vary: X-B", ask=("X-A: 1", "X-B: 1")),
        goes(HOUR, "Vary: X-A", "Vary: X-B", ask=("X-A: 1", "X-B: 2")),
    ),
    case(
        "4.1 combined lines are the same",
        goes(HOUR, "Vary: X-A", ask=("X-A: 1", "X-A: 2")),
        hits("X-A: 1, 2"),
        hits("X-A: 1,2"),
        goes(HOUR, "Vary: X-A", ask=("X-A: 2, 1",)),
    ),
    case("4.1 other fields do not count", goes(HOUR, "Vary: X-A", ask=("X-A: 1",)), hits("X-A: 1", "X-C: 9")),
    case(
        "4.1 Accept-Encoding in a normal form",
        goes(HOUR, "Vary: Accept-Encoding", ask=("Accept-Encoding: gzip, br",)),
        hits("Accept-Encoding: br,  GZIP"),
        goes(HOUR, "Vary: Accept-Encoding", ask=("Accept-Encoding: gzip;q=0",)),
    ),
    case(
        "4.1 an empty Vary is for everyone",
        goes(HOUR, "Vary:", ask=("X-A: 1",)),
        hits("X-A: 2"),
    ),
    case(
        "4.1 many variants",
        *(goes(HOUR, "Vary: X-A", ask=(f"X-A: {number}",)) for number in range(20)),
        *(hits(f"X-A: {number}", of=number) for number in range(20)),
    ),
]


@pytest.fixture(scope="module", params=["reverse", "forward"])
def on(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with stage(request.param) as ready:
        yield ready


@pytest.mark.parametrize("row", by_title(STORING))
def test_storing(on: Stage, row: Case) -> None:
    row.run(on)


@pytest.mark.parametrize("row", by_title(DIRECTIVES))
def test_directives_of_responses(on: Stage, row: Case) -> None:
    row.run(on)


@pytest.mark.parametrize("row", by_title(LIFETIMES))
def test_lifetimes_and_ages(on: Stage, row: Case) -> None:
    row.run(on)


@pytest.mark.parametrize("row", by_title(VARYING))
def test_varying(on: Stage, row: Case) -> None:
    row.run(on)


def test_the_titles_differ() -> None:
    titles = [row.title for row in STORING + DIRECTIVES + LIFETIMES + VARYING]
    assert len(titles) == len(set(titles))
