"""Many users of one forward proxy, and of one web server: nobody sees what is for another."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_forward_auth import PASSWORD, USERS, basic
from tests.support.cache import Answer, Stage, route, stage
from tests.support.client import Client, Response
from tests.support.origin import Exchange, Handler, Origin
from tests.support.proxy import Proxy, forward, free_port, reverse
from tests.support.wait import Together, wait_for

HOUR = "Cache-Control: max-age=3600"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A forward proxy whose users have names, with a cache on disk too."""
    folder: Path = tmp_path_factory.mktemp("office")
    top = {"cache": {"disk": {"path": str(folder / "cache"), "size": "64MiB"}}}
    with (
        Origin() as origin,
        Proxy(
            forward(top=top, auth={"basic": "users", "realm": "office"}, cache=True), files={"users": USERS}
        ) as proxy,
    ):
        yield Stage(proxy, origin, forward=True)


@pytest.fixture(scope="module", params=["reverse", "forward"])
def on(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with stage(request.param) as ready:
        yield ready


def as_user(office: Stage, user: str, path: str, *lines: str) -> Response:
    name, value = basic(user, PASSWORD)
    return office.ask(path, f"{name}: {value}", *lines)


def personal(*lines: str) -> Handler:
    """Answers with what names the user at the origin."""

    def handler(exchange: Exchange) -> None:
        fields = exchange.request.fields
        who = fields.get("Authorization") or fields.get("Cookie") or fields.get("X-User") or "nobody"
        Answer(200, lines).send(exchange, who.encode())

    return handler


PERSONAL = [
    ("private", ("Cache-Control: private, max-age=3600",), "X-User"),
    ("authorization", (HOUR,), "Authorization"),
    ("authorization by the heuristic", ("Last-Modified: Tue, 15 Nov 1994 12:45:26 GMT",), "Authorization"),
    ("cookie by the heuristic", ("Last-Modified: Tue, 15 Nov 1994 12:45:26 GMT",), "Cookie"),
    ("set-cookie", (HOUR, "Set-Cookie: id=1"), "Cookie"),
    ("no-store", ("Cache-Control: no-store",), "Cookie"),
    ("vary by cookie", (HOUR, "Vary: Cookie"), "Cookie"),
    ("vary by authorization", ("Cache-Control: public, max-age=3600", "Vary: Authorization"), "Authorization"),
]


@pytest.mark.parametrize(("title", "lines", "name"), PERSONAL, ids=[row[0] for row in PERSONAL])
def test_two_users_of_the_office(office: Stage, title: str, lines: tuple[str, ...], name: str) -> None:
    path = office.path(title)
    office.origin.on(path, personal(*lines))
    for user in ("sha", "apr1", "sha", "bcrypt"):
        assert as_user(office, user, path, f"{name}: {user}").text == user


@pytest.mark.parametrize(("title", "lines", "name"), PERSONAL, ids=[row[0] for row in PERSONAL])
def test_two_users_of_a_site(on: Stage, title: str, lines: tuple[str, ...], name: str) -> None:
    path = on.path(title)
    on.origin.on(path, personal(*lines))
    for user in ("alice", "bob", "alice"):
        assert on.ask(path, f"{name}: {user}").text == user
    assert on.ask(path).text == "nobody"


@pytest.mark.parametrize(("title", "lines", "name"), PERSONAL, ids=[row[0] for row in PERSONAL])
def test_two_users_at_the_same_time(on: Stage, title: str, lines: tuple[str, ...], name: str) -> None:
    """Requests that wait for one fetch are told apart by its response."""
    path, release = on.path(title), threading.Event()
    answer = personal(*lines)

    def held(exchange: Exchange) -> None:
        if on.asked(path) == 1:
            wait_for(release, "the test")
        answer(exchange)

    on.origin.on(path, held)
    with Client(on.proxy.port) as first:
        on.request(first, path, f"{name}: first")
        on.origin.wait_for(path)

        def other(index: int) -> None:
            with Client(on.proxy.port) as client:
                on.request(client, path, f"{name}: user{index}")
                sent[index].set()
                assert client.response().text == f"user{index}"

        sent = [threading.Event() for _ in range(8)]
        others = Together(other, len(sent))
        for event in sent:
            wait_for(event, "the requests")
        release.set()
        assert first.response().text == "first"
        others.join()


def test_what_is_public_is_shared(office: Stage) -> None:
    """The proxy's own credentials are not the origin's: they make nothing private."""
    path = office.path("shared")
    script = office.on(path, HOUR)
    for user in ("sha", "apr1", "bcrypt"):
        assert as_user(office, user, path).body == script.bodies[0]
    assert office.asked(path) == 1


def test_what_is_stored_is_not_for_those_without_a_name(office: Stage) -> None:
    path = office.path("named")
    office.on(path, HOUR)
    assert as_user(office, "sha", path).status == 200
    assert office.ask(path).status == 407
    assert office.ask(path, "Proxy-Authorization: Basic bm9ib2R5Om5v").status == 407
    assert office.ask(path, "Cache-Control: only-if-cached").status == 407


def test_the_proxys_refusal_is_not_stored(office: Stage) -> None:
    path = office.path("refused")
    office.on(path, HOUR)
    assert office.ask(path).status == 407
    assert as_user(office, "sha", path).status == 200


def test_an_origins_challenge_is_not_stored(on: Stage) -> None:
    path = on.path("challenge")

    def guarded(exchange: Exchange) -> None:
        known = "Authorization" in exchange.request.fields
        lines = ("Cache-Control: private",) if known else ('WWW-Authenticate: Basic realm="x"',)
        Answer(200 if known else 401, lines).send(exchange, b"secret" if known else b"who?")

    on.origin.on(path, guarded)
    assert on.ask(path).status == 401
    assert on.ask(path, "Authorization: Basic eDp5").body == b"secret"
    assert on.ask(path).status == 401


def test_a_cookie_with_explicit_freshness_is_shared(on: Stage) -> None:
    """The origin has said how long, and for all: a client's cookie alone does not forbid it (RFC 9111, section 7.3)."""
    path = on.path("explicit")
    script = on.on(path, HOUR)
    for cookie in ("a=1", "a=2"):
        assert on.ask(path, f"Cookie: {cookie}").body == script.bodies[0]


def test_set_cookie_that_may_be_shared(on: Stage) -> None:
    path = on.path("public-cookie")
    on.on(path, "Cache-Control: public, max-age=3600", "Set-Cookie: theme=dark")
    assert on.ask(path).fields.get("Set-Cookie") == on.ask(path).fields.get("Set-Cookie") == "theme=dark"
    assert on.asked(path) == 1


def test_forward_and_reverse_have_names_of_their_own() -> None:
    """One process, both directions: what one has stored is not served by the other."""
    with Origin() as origin:
        config = reverse([origin.address], routes=[route()])
        config["listeners"]["office"] = {"bind": f"127.0.0.1:{free_port()}", "role": "forward"}
        config["forward"] = {"private_destinations": "allow", "cache": True}
        with Proxy(config) as proxy:
            web, office = Stage(proxy, origin), proxy.addresses()[1][1]
            script = web.on("/both", HOUR)
            with Client(proxy.port) as client:
                client.ask("GET", "/both", host=origin.address)
            with Client(office) as client:
                body = client.ask("GET", f"http://{origin.address}/both", host=origin.address).body
            assert body == script.bodies[1]
            assert web.asked("/both") == 2
