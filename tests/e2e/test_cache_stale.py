"""Stale responses: served at once and validated behind, served when the origin fails, and never (RFC 5861)."""

import threading
from collections.abc import Iterator

import pytest

from tests.support.cache import Answer, Case, Script, Stage, case, goes, hits, stage
from tests.support.cache_status import cache_status
from tests.support.client import Client
from tests.support.origin import Exchange
from tests.support.wait import Together, until, wait_for

TAG = 'ETag: "a"'
OLD = ("Cache-Control: max-age=60", "Age: 100")
WHILE = "Cache-Control: max-age=60, stale-while-revalidate=1000"
ON_ERROR = "Cache-Control: max-age=60, stale-if-error=1000"


@pytest.fixture(scope="module", params=["reverse", "forward"])
def on(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with stage(request.param) as ready:
        yield ready


# -- stale-while-revalidate


def test_it_is_served_at_once_and_validated_once(on: Stage) -> None:
    """The origin holds the validation; nobody waits for it, and there is only one."""
    path = on.path("swr")
    old = on.on(path, WHILE, "Age: 100", TAG)
    on.ask(path)
    release = threading.Event()
    new = Script(Answer(200, ("Cache-Control: max-age=3600", 'ETag: "b"')))

    def held(exchange: Exchange) -> None:
        wait_for(release, "the test")
        new(exchange)

    on.origin.on(path, held)

    def stale(_: int) -> None:
        response = on.ask(path)
        assert (response.status, response.body) == (200, old.bodies[0])
        assert cache_status(response).hit

    Together(stale, 20).join()
    on.origin.wait_for(path, 2)
    Together(stale, 20).join()
    assert on.asked(path) == 2
    release.set()
    until(lambda: on.ask(path).body in new.bodies, "the new response")
    assert on.asked(path) == 2
    assert on.origin.seen(path)[1].fields.get("If-None-Match") == '"a"'


def test_a_304_makes_it_fresh_again(on: Stage) -> None:
    path = on.path("swr-304")
    old = Script(Answer(200, (WHILE, "Age: 100", TAG)), Answer(304, ("Cache-Control: max-age=3600", TAG)))
    on.origin.on(path, old)
    on.ask(path)
    assert on.ask(path).body == old.bodies[0]
    on.origin.wait_for(path, 2)
    until(lambda: int(on.ask(path).fields.get("Age") or "-1") < 50, "it to be fresh")
    assert on.asked(path) == 2


def test_a_validation_that_fails_leaves_what_is_stored(on: Stage) -> None:
    path = on.path("swr-fails")
    old = Script(Answer(200, (WHILE, "Age: 100", TAG)), Answer(500))
    on.origin.on(path, old)
    on.ask(path)
    assert on.ask(path).body == old.bodies[0]
    on.origin.wait_for(path, 2)
    response = on.ask(path)
    assert (response.status, response.body) == (200, old.bodies[0])


def test_the_ttl_says_since_when_it_is_stale(on: Stage) -> None:
    path = on.path("swr-ttl")
    on.on(path, WHILE, "Age: 100")
    on.ask(path)
    status = cache_status(on.ask(path))
    assert status.hit
    assert status.ttl is not None and -60 <= status.ttl <= -40


@pytest.mark.parametrize(
    "row",
    [
        case("5861-3 beyond the window", goes(WHILE, "Age: 2000"), goes()),
        case("5861-3 without a window", goes(*OLD), goes()),
        case("5861-3 must-revalidate", goes(f"{WHILE}, must-revalidate", "Age: 100"), goes()),
        case("5861-3 proxy-revalidate", goes(f"{WHILE}, proxy-revalidate", "Age: 100"), goes()),
        case("5861-3 no-cache", goes(f"{WHILE}, no-cache", "Age: 100"), goes()),
        case("5861-3 the client says no-cache", goes(WHILE, "Age: 100"), goes(ask=("Cache-Control: no-cache",))),
        case("5861-3 the client says max-age", goes(WHILE, "Age: 100"), goes(ask=("Cache-Control: max-age=50",))),
        case("5861-3 the client says min-fresh", goes(WHILE, "Age: 100"), goes(ask=("Cache-Control: min-fresh=1",))),
        case("5861-3 a window that is no number", goes(*OLD, "Cache-Control: stale-while-revalidate=x"), goes()),
        case("5861-4 the window of errors is none without one", goes(ON_ERROR, "Age: 100"), goes()),
    ],
    ids=lambda row: row.title,
)
def test_not_served_stale(on: Stage, row: Case) -> None:
    row.run(on)


# -- stale-if-error


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_error_is_covered(on: Stage, status: int) -> None:
    path = on.path("sie")
    script = Script(Answer(200, (ON_ERROR, "Age: 100", TAG)), Answer(status))
    on.origin.on(path, script)
    on.ask(path)
    response = on.ask(path)
    assert (response.status, response.body) == (200, script.bodies[0])
    assert on.asked(path) == 2, "the origin is asked first"
    assert int(response.fields.get("Age") or "0") >= 100
    assert (
        on.proxy.wait_records(lambda r: r.get("path") == path and r.get("cache") == "stale")[0]["cache_reason"]
        == "stale_if_error"
    )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429, 501])
def test_what_is_no_failure_is_passed_on(on: Stage, status: int) -> None:
    case(f"5861-4 {status} is passed on", goes(ON_ERROR, "Age: 100", TAG), goes(status=status)).run(on)


@pytest.mark.parametrize(
    "control",
    [
        "max-age=60",
        "max-age=60, stale-if-error=10",
        "max-age=60, stale-if-error=1000, must-revalidate",
        "max-age=60, stale-if-error=1000, proxy-revalidate",
        "s-maxage=60, stale-if-error=1000",
        "max-age=60, stale-if-error=1000, no-cache",
        "max-age=60, stale-while-revalidate=10",
    ],
)
def test_not_covered(on: Stage, control: str) -> None:
    """RFC 9111, section 4.2.4: no stale response where something forbids it, or nothing allows it."""
    case(f"{control}", goes(f"Cache-Control: {control}", "Age: 100", TAG), goes(status=503)).run(on)


def test_the_client_may_allow_it(on: Stage) -> None:
    path = on.path("sie-request")
    script = Script(Answer(200, ("Cache-Control: max-age=60", "Age: 100", TAG)), Answer(503))
    on.origin.on(path, script)
    on.ask(path)
    assert on.ask(path, "Cache-Control: stale-if-error=1000").status == 200
    assert on.ask(path).status == 503


@pytest.mark.parametrize("direction", ["reverse", "forward"])
def test_the_origin_is_gone(direction: str) -> None:
    with stage(direction) as on:
        covered, bare, strict = on.path("covered"), on.path("bare"), on.path("strict")
        script = on.on(covered, ON_ERROR, "Age: 100")
        on.on(bare, "Cache-Control: max-age=60", "Age: 100")
        on.on(strict, f"{ON_ERROR}, must-revalidate", "Age: 100")
        for path in (covered, bare, strict):
            assert on.ask(path).status == 200
        on.origin.close()
        response = on.ask(covered)
        assert (response.status, response.body) == (200, script.bodies[0])
        assert on.ask(bare).status in (502, 503, 504)
        # RFC 9111, section 5.2.2.2: 504, or another error that fits better
        assert on.ask(strict).status in (502, 503, 504)


def test_the_origin_hangs() -> None:
    with stage("reverse") as on:
        on.proxy.config["reverse"]["routes"][0]["timeout"] = {"first_byte": "300ms"}
        done = on.proxy.reload()
        assert done.returncode == 0, done.stderr
        path, release = on.path("hangs"), threading.Event()
        script = on.on(path, ON_ERROR, "Age: 100")
        on.ask(path)

        def hangs(exchange: Exchange) -> None:
            wait_for(release, "the test", 60)

        on.origin.on(path, hangs)
        assert on.ask(path).body == script.bodies[0]
        release.set()


def test_the_origin_breaks_off_its_head() -> None:
    with stage("reverse", stale_if_error="1h") as on:
        path = on.path("breaks")
        script = on.on(path, "Cache-Control: max-age=60", "Age: 100")
        on.ask(path)
        on.origin.on(path, lambda exchange: exchange.reset())
        assert on.ask(path).body == script.bodies[0]


# -- the configuration's windows


def test_windows_of_the_configuration() -> None:
    with stage("reverse", stale_while_revalidate="1h", stale_if_error="1h") as on:
        path = on.path("configured")
        script = on.on(path, "Cache-Control: max-age=60", "Age: 100")
        on.ask(path)
        assert on.ask(path).body == script.bodies[0]
        on.origin.wait_for(path, 2)
        own = on.path("own")
        script = on.on(own, "Cache-Control: max-age=60, stale-while-revalidate=0", "Age: 100")
        on.ask(own)
        on.ask(own)
        assert len(script.bodies) == 2, "what the response says goes before"


def test_max_stale_is_still_the_clients_choice(on: Stage) -> None:
    case("5.2.1.2 max-stale", goes(*OLD, TAG), hits("Cache-Control: max-stale=100")).run(on)


def test_reading_goes_on_while_it_is_validated(on: Stage) -> None:
    """A large stale response is read to its end although a new one takes its place meanwhile."""
    path, size = on.path("replaced"), 4 << 20
    on.on(path, WHILE, "Age: 100", body=b"o" * size)
    assert len(on.ask(path).body) == size
    new = on.on(path, "Cache-Control: max-age=3600", body=b"n" * size)
    with Client(on.proxy.port) as client:
        on.request(client, path)
        assert client.head().status == 200
        until(lambda: new.bodies, "the validation")
        until(lambda: on.ask(path).body[:1] == b"n", "the new response")
        assert client.read_exactly(size) == b"o" * size
