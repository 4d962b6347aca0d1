"""Splits: who gets which variant, and stays there."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.client import Given, Response, fetch
from tests.support.fleet import Crowd, Mortal, fleet, spread, who
from tests.support.proxy import Config, Proxy
from tests.support.splits import Pair, canary, steer, tree, weights
from tests.support.tls import TlsClient, tls_listener


def users(crowd: Crowd, count: int, name: str = "X-User", target: str = "/") -> list[str]:
    """Who answers each of so many people."""
    return crowd.spread([(target, [(name, f"user-{number}")]) for number in range(count)])


BY_USER: Config = {"sticky": {"header": "x-user"}}


# -- shares


@pytest.mark.parametrize(
    ("weight", "low", "high"),
    [("0%", 0, 0), ("100%", 3_000, 3_000), ("5%", 85, 215), ("50%", 1_340, 1_660), ("0.5%", 1, 38)],
)
def test_the_share_of_people(weight: str, low: int, high: int) -> None:
    """Of 3,000; more than five standard deviations to each side, where that is no negative number."""
    with canary(weight=weight, **BY_USER) as pair, Crowd(pair.port) as crowd:
        assert low <= users(crowd, 3_000).count("canary") <= high


def test_the_share_of_requests() -> None:
    """Without `sticky` each request is decided by itself, over all workers together."""
    with canary(weight="20%") as pair:
        got = spread(pair.port, 1_000)
        assert got.total() == got["canary"] + got["stable"]
        assert 135 <= got["canary"] <= 265, "five standard deviations by chance"


def test_without_a_weight_the_canary_gets_nothing() -> None:
    with canary() as pair:
        assert spread(pair.port, 50) == {"stable": 50}


@pytest.fixture(scope="module")
def variants() -> Iterator[tuple[Proxy, list[Mortal]]]:
    """50, 30 and 20 percent of the people."""
    with fleet(3) as (a, b, c):
        split: Config = {"variants": {"a": 50, "b": "30%", "c": 20}, **BY_USER, "response_header": "x-variant"}
        split["force"] = {"header": "x-want"}
        with Proxy(tree({"a": [a], "b": [b], "c": [c]}, {"shop": split})) as proxy:
            yield proxy, [a, b, c]


def test_variants(variants: tuple[Proxy, list[Mortal]]) -> None:
    proxy, _ = variants
    with Crowd(proxy.port) as crowd:
        got = Counter(users(crowd, 3_000))
        # standard deviations 27, 25 and 22
        assert 1_350 <= got["a"] <= 1_650, got
        assert 770 <= got["b"] <= 1_030, got
        assert 480 <= got["c"] <= 720, got
        assert users(crowd, 200) == users(crowd, 200)


def test_variants_are_named_and_forced(variants: tuple[Proxy, list[Mortal]]) -> None:
    proxy, _ = variants
    for name in "abc":
        forced = fetch(proxy.port, fields=[("X-User", "1"), ("X-Want", name)])
        assert (who(forced), forced.fields.get("X-Variant")) == (name, name)
    first = who(fetch(proxy.port, fields=[("X-User", "1")]))
    for nonsense in ("d", "", "always", "never", "canary"):
        assert who(fetch(proxy.port, fields=[("X-User", "1"), ("X-Want", nonsense)])) == first


# -- people


def test_a_person_known_by_a_header_stays() -> None:
    with canary(weight="30%", **BY_USER) as pair, Crowd(pair.port) as crowd:
        first = users(crowd, 100)
        assert set(first) == {"canary", "stable"}
        assert users(crowd, 100) == first
        assert users(crowd, 100, "x-uSER", "/other?q=1") == first


def test_without_the_header_each_request_is_decided() -> None:
    with canary(weight="50%", **BY_USER) as pair:
        assert len(spread(pair.port, 60)) == 2
        assert len(spread(pair.port, 60, fields=[("X-User", "")])) == 2, "an empty one is none"


def test_a_person_known_by_the_address_stays() -> None:
    with canary(weight="50%", sticky={"client": True}) as pair:
        sources = [f"127.0.6.{number}" for number in range(1, 41)]
        first = [who(fetch(pair.port, source=source)) for source in sources]
        assert set(first) == {"canary", "stable"}
        for source, expected in zip(sources, first, strict=True):
            assert spread(pair.port, 3, source=source) == {expected: 3}


def test_a_person_known_by_the_address_that_a_trusted_proxy_tells() -> None:
    with (
        canary({"trusted_proxies": ["127.0.0.1"]}, weight="50%", sticky={"client": True}) as pair,
        Crowd(pair.port) as crowd,
    ):
        people: list[tuple[str, Given]] = [("/", [("X-Forwarded-For", f"192.0.2.{n}")]) for n in range(40)]
        first = crowd.spread(people)
        assert set(first) == {"canary", "stable"}
        assert crowd.spread(people) == first


COOKIE: Config = {"sticky": {"cookie": "side"}}


def given(response: Response) -> str | None:
    found = [value for value in response.fields.values("Set-Cookie") if value.startswith("side=")]
    assert len(found) <= 1, found
    return found[0] if found else None


def test_a_person_known_by_a_cookie_stays() -> None:
    """It is set once, and holds a random number that says nothing."""
    with canary(weight="40%", **COOKIE) as pair:
        sides: Counter[str] = Counter()
        values = set()
        for _ in range(60):
            first = fetch(pair.port)
            cookie = given(first)
            assert cookie
            value = cookie.partition(";")[0]
            values.add(value)
            sides[who(first)] += 1
            for _ in range(3):
                again = fetch(pair.port, fields=[("Cookie", f"x=1; {value}")])
                assert (who(again), given(again)) == (who(first), None)
        assert len(values) == 60
        assert min(sides["canary"], sides["stable"]) >= 3, "24 and 36; less than 3 by chance once in a billion runs"


@pytest.mark.parametrize(("more", "age"), [({}, "2592000"), ({"max_age": "2h"}, "7200"), ({"max_age": "0s"}, None)])
def test_attributes_of_the_cookie(more: Config, age: str | None) -> None:
    """30 days are the default."""
    with canary(weight="40%", sticky={"cookie": "side", **more}) as pair:
        cookie = (given(fetch(pair.port)) or "").lower()
        assert re.search(r"; *path=/(;|$)", cookie)
        assert "httponly" in cookie
        assert "samesite=" in cookie
        assert "secure" not in cookie
        found = re.search(r"max-age=(\d+)", cookie)
        assert (found and found[1]) == age


def test_over_tls_the_cookie_is_secure() -> None:
    with canary({"listener": tls_listener()}, weight="40%", **COOKIE) as pair:
        with TlsClient(pair.port) as client:
            first = client.ask()
        cookie = given(first) or ""
        assert "secure" in cookie.lower()
        with TlsClient(pair.port) as client:
            again = client.ask(fields=[("Cookie", cookie.partition(";")[0])])
        assert (who(again), given(again)) == (who(first), None)


@pytest.mark.parametrize("value", ["", "x", "1" * 5_000, "../../x", "%00", '"quoted"'])
def test_a_cookie_that_is_none_of_ours(value: str) -> None:
    """Nobody chooses a side by it; a new one is set."""
    with canary(weight="50%", **COOKIE) as pair:
        answers = [fetch(pair.port, fields=[("Cookie", f"side={value}")]) for _ in range(40)]
        assert {who(answer) for answer in answers} == {"canary", "stable"}
        assert all(given(answer) for answer in answers)


# -- growth


def test_nobody_flips_back_while_it_grows() -> None:
    """In each step some more people get the canary, and all who had it keep it."""
    with canary(**BY_USER) as pair, Crowd(pair.port) as crowd:
        before: set[int] = set()
        for weight in ("0.01%", "1%", "1.01%", "5%", "12.34%", "33.33%", "50%", "99.99%", "100%"):
            steer(pair.proxy, "set", "shop", weight)
            now = {number for number, side in enumerate(users(crowd, 500)) if side == "canary"}
            assert before <= now, weight
            before = now
        assert len(before) == 500
        steer(pair.proxy, "set", "shop", "50%")
        now = {number for number, side in enumerate(users(crowd, 500)) if side == "canary"}
        assert 190 <= len(now) <= 310


def test_steps_of_a_hundredth_of_a_percent() -> None:
    with canary(**BY_USER) as pair:
        for text, expected in (("0.01%", 1), ("12.34%", 1_234), ("99.99%", 9_999), ("7", 700), ("0", 0)):
            steer(pair.proxy, "set", "shop", text)
            assert weights(pair.proxy) == [expected, 10_000 - expected]


def test_two_splits_choose_different_people() -> None:
    """At half each, a quarter of 2,000 people has both canaries: 500, standard deviation 19."""
    with fleet(4) as (a, b, c, d):
        for server, name in zip((a, b, c, d), ("canary", "stable", "canary", "stable"), strict=True):
            server.name = name
        routes: list[Config] = [
            {"name": "one", "match": {"path": "/one"}, "split": "one"},
            {"name": "two", "match": {"path": "/two"}, "split": "two"},
        ]
        splits: Config = {
            "one": {"canary": "a", "stable": "b", "weight": "50%", **BY_USER},
            "two": {"canary": "c", "stable": "d", "weight": "50%", **BY_USER},
        }
        with Proxy(tree({"a": [a], "b": [b], "c": [c], "d": [d]}, splits, routes=routes)) as proxy:
            with Crowd(proxy.port) as crowd:
                pairs = list(zip(users(crowd, 2_000, target="/one"), users(crowd, 2_000, target="/two"), strict=True))
            both = sum(one == two == "canary" for one, two in pairs)
            assert 390 <= both <= 610


# -- force


@pytest.fixture(scope="module")
def forced() -> Iterator[Pair]:
    """Only two addresses may force a side."""
    force: Config = {"header": "x-canary", "clients": ["127.0.0.1/32", "127.0.7.0/24"]}
    with canary(weight="50%", **BY_USER, force=force) as pair:
        yield pair


@pytest.mark.parametrize(
    ("wish", "side"),
    [("always", "canary"), ("ALWAYS", "canary"), ("canary", "canary"), ("never", "stable"), ("stable", "stable")],
)
def test_force(forced: Pair, wish: str, side: str) -> None:
    for user in range(20):
        assert who(fetch(forced.port, fields=[("X-Canary", wish), ("X-User", str(user))])) == side


def test_force_is_for_whom_it_is_for(forced: Pair) -> None:
    """The header of anybody else changes nothing."""
    for source, may in (("127.0.7.9", True), ("127.0.8.9", False)):
        sides = set()
        for user in range(30):
            own = who(fetch(forced.port, fields=[("X-User", str(user))], source=source))
            asked = who(fetch(forced.port, fields=[("X-User", str(user)), ("X-Canary", "always")], source=source))
            assert asked == ("canary" if may else own)
            sides.add(own)
        assert sides == {"canary", "stable"}


@pytest.mark.parametrize("wish", ["", "maybe", "1", "always,never"])
def test_a_wish_that_says_nothing(forced: Pair, wish: str) -> None:
    for user in range(20):
        own = who(fetch(forced.port, fields=[("X-User", str(user))]))
        assert who(fetch(forced.port, fields=[("X-User", str(user)), ("X-Canary", wish)])) == own


def test_force_at_weight_zero() -> None:
    """What it is for: to look at the new version before anybody else does."""
    with canary(weight="0%", force={"header": "x-canary"}) as pair:
        assert spread(pair.port, 20) == {"stable": 20}
        assert spread(pair.port, 20, fields=[("X-Canary", "always")]) == {"canary": 20}
