"""Splits by hand and over time: `reviver canary`, reloads, restarts; and where the variant is seen."""

import json
from collections import Counter
from typing import Any

import pytest

from tests.support.client import fetch
from tests.support.fleet import Crowd, fleet, spread, who
from tests.support.load import Load
from tests.support.origin import responds
from tests.support.pools import notes
from tests.support.proxy import Config, Proxy, cli
from tests.support.splits import canary, status, steer, tree, weights

BY_USER: Config = {"sticky": {"header": "x-user"}}


# -- by hand


def test_promote_and_abort_in_one_step() -> None:
    with canary(weight="10%", **BY_USER) as pair:
        steer(pair.proxy, "promote", "shop")
        assert weights(pair.proxy) == [10_000, 0]
        assert spread(pair.port, 50) == {"canary": 50}
        steer(pair.proxy, "abort", "shop")
        assert weights(pair.proxy) == [0, 10_000]
        assert spread(pair.port, 50) == {"stable": 50}


def test_no_request_fails_while_the_weight_changes() -> None:
    with canary(weight="10%", **BY_USER) as pair, Load(pair.port, threads=6, people=60) as load:
        for command in (["set", "shop", "50%"], ["promote", "shop"], ["abort", "shop"], ["set", "shop", "1%"]) * 3:
            steer(pair.proxy, *command)
            load.wait_more(30)
        assert set(load.outcomes) == {200}


def test_variants_by_hand() -> None:
    with fleet(3) as (a, b, c):
        split: Config = {"variants": {"a": 50, "b": 30, "c": 20}, **BY_USER}
        with Proxy(tree({"a": [a], "b": [b], "c": [c]}, {"shop": split})) as proxy:
            steer(proxy, "set", "shop", "a=0%", "b=25.5%", "c=74.5%")
            assert weights(proxy) == [0, 2_550, 7_450]
            assert spread(proxy.port, 60)["a"] == 0
            done = proxy.cli("canary", "set", "shop", "a=50%", "b=30%", "c=30%")
            assert done.returncode in (1, 2)
            assert "110%" in done.stderr
            assert weights(proxy) == [0, 2_550, 7_450], "nothing is half applied"


def test_status() -> None:
    with canary(weight="50%", **BY_USER) as pair, Crowd(pair.port) as crowd:
        pair.canary.on("/bad", responds(503))
        for number in range(100):
            crowd.ask("/bad" if number % 4 == 0 else "/", [("X-User", str(number))])
        row = status(pair.proxy)
        assert row["canary"] is True
        new, old = row["variants"]
        assert [(one["name"], one["pool"], one["written"]) for one in (new, old)] == [
            ("canary", "v2", 5_000),
            ("stable", "v1", 5_000),
        ]
        assert new["requests"] == len(pair.canary.requests)
        assert old["requests"] == len(pair.stable.requests)
        bad = len(pair.canary.seen("/bad"))
        assert (new["errors"], old["errors"]) == (bad, 0)
        assert new["statuses"].get("5xx") == bad
        assert sum(count for _, count in new["latency"]) == new["requests"]
        text = pair.proxy.cli("canary", "status", "shop").stdout
        for word in ("shop", "canary", "stable", "50"):
            assert word in text


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["promote", "shpo"], 1, ["shpo", "did you mean shop"]),
        (["status", "zzz"], 1, ["zzz", "shop"]),
        (["set", "shop", "101%"], 2, ["101%"]),
        (["set", "shop", "0.001%"], 2, ["0.001%"]),
        (["set", "shop", "many"], 2, ["many"]),
        (["set", "shop"], 2, ["shop"]),
        (["promte", "shop"], 2, ["promte"]),
        (["resume", "shop"], 1, ["autopilot"]),
    ],
)
def test_mistakes(arguments: list[str], code: int, words: list[str]) -> None:
    with canary(weight="10%") as pair:
        done = pair.proxy.cli("canary", *arguments)
        assert done.returncode == code, done.stderr
        for word in words:
            assert word in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
        assert weights(pair.proxy) == [1_000, 9_000]


# -- reloads and restarts


def test_what_was_set_outlives_a_reload_that_leaves_the_weight() -> None:
    with canary(weight="10%", **BY_USER) as pair, Crowd(pair.port) as crowd:
        steer(pair.proxy, "set", "shop", "60%")
        people: Any = [("/", [("X-User", str(number))]) for number in range(100)]
        before = crowd.spread(people)
        pair.proxy.config["limits"] = {"head": "16KiB"}
        assert pair.proxy.reload().returncode == 0
        assert weights(pair.proxy) == [6_000, 4_000]
        assert crowd.spread(people) == before
        pair.split()["weight"] = "20%"
        assert pair.proxy.reload().returncode == 0
        assert weights(pair.proxy) == [2_000, 8_000], "a new word in the file is the last one"


@pytest.mark.parametrize("kill", [False, True])
def test_what_was_set_outlives_a_restart(kill: bool) -> None:
    """And everybody is on the same side as before."""
    with canary(weight="10%", **BY_USER) as pair:
        steer(pair.proxy, "set", "shop", "60%")
        people: Any = [("/", [("X-User", str(number))]) for number in range(100)]
        with Crowd(pair.port) as crowd:
            before = crowd.spread(people)
        pair.proxy.restart(kill=kill)
        assert weights(pair.proxy) == [6_000, 4_000]
        with Crowd(pair.port) as crowd:
            assert crowd.spread(people) == before


def test_a_reload_that_brings_a_split() -> None:
    with canary(weight="10%") as pair:
        written = pair.proxy.config["reverse"]
        written["splits"]["more"] = {"stable": "v2", "canary": "v1", "weight": "100%"}
        written["routes"].insert(0, {"name": "more", "match": {"path": "/more"}, "split": "more"})
        assert pair.proxy.reload().returncode == 0
        assert spread(pair.port, 10, "/more") == {"stable": 10}
        assert weights(pair.proxy, "more") == [10_000, 0]


# -- where it is seen


def test_the_log_names_split_and_variant() -> None:
    routes: list[Config] = [
        {"name": "plain", "match": {"path": "/plain"}, "pool": "v1"},
        {"name": "shop", "match": {"path": "/*"}, "split": "shop"},
    ]
    logs: list[Config] = [
        {"to": "file:access.log", "format": "json"},
        {"to": "file:short.log", "format": "{path} {split} {variant} {pool}"},
    ]
    with canary({"routes": routes, "logs": logs}, weight="50%", force={"header": "x-canary"}) as pair:
        for wish, side, pool in (("always", "canary", "v2"), ("never", "stable", "v1")):
            fetch(pair.port, f"/{wish}", [("X-Canary", wish)])
            record = pair.proxy.record(f"/{wish}")
            assert (record["split"], record["variant"], record["pool"]) == ("shop", side, pool)
        fetch(pair.port, "/plain")
        record = pair.proxy.record("/plain")
        assert (record.get("split"), record.get("variant"), record["pool"]) == (None, None, "v1")
        assert "/always shop canary v2" in pair.proxy.lines("short.log")


def test_a_response_header_on_request() -> None:
    """It says which side it was, whatever the server says there."""
    with canary(weight="50%", force={"header": "x-canary"}, response_header="X-Variant") as pair:
        pair.canary.on("/lies", responds(200, b"", ("X-Variant", "stable")))
        for path in ("/", "/lies"):
            response = fetch(pair.port, path, [("X-Canary", "always")])
            assert response.fields.values("X-Variant") == ["canary"]
        assert fetch(pair.port, fields=[("X-Canary", "never")]).fields.get("X-Variant") == "stable"
    with canary(weight="50%") as pair:
        assert "X-Variant" not in fetch(pair.port).fields


def test_explain_shows_the_variant() -> None:
    """The same that the request gets then."""
    with canary(weight="50%", **BY_USER) as pair:
        sides = set()
        for user in range(8):
            done = cli("explain", pair.proxy.path, "GET", "http://test.example/", "-H", f"X-User: {user}", "--json")
            assert done.returncode == 0, done.stderr
            side = who(fetch(pair.port, fields=[("X-User", str(user))]))
            told = json.dumps(json.loads(done.stdout))
            assert "split shop" in told
            assert f"variant {side}" in told
            assert (pair.canary if side == "canary" else pair.stable).address in told
            sides.add(side)
        assert sides == {"canary", "stable"}
        text = cli("explain", pair.proxy.path, "GET", "http://test.example/").stdout
        assert "shop" in text


def test_the_cache_does_not_mix_variants() -> None:
    """Each side has its own; who is on one never sees the other's, and neither is asked twice."""
    routes: list[Config] = [{"name": "shop", "match": {"path": "/*"}, "split": "shop", "cache": True}]
    with canary({"routes": routes}, weight="50%", **BY_USER) as pair, Crowd(pair.port) as crowd:
        for server in (pair.canary, pair.stable):
            fields = (("Cache-Control", "max-age=600"), ("X-Origin", server.name))
            server.on("/page", responds(200, server.name.encode(), *fields))
        sides = crowd.spread([("/", [("X-User", str(number))]) for number in range(40)])
        for _ in range(3):
            pages = crowd.spread([("/page", [("X-User", str(number))]) for number in range(40)])
            assert pages == sides
        assert (len(pair.canary.seen("/page")), len(pair.stable.seen("/page"))) == (1, 1)
        steer(pair.proxy, "abort", "shop")
        assert Counter(crowd.spread([("/page", [("X-User", str(n))]) for n in range(40)])) == {"stable": 40}


def test_a_cookie_is_not_cached() -> None:
    """Nobody gets the number of somebody else out of the cache."""
    routes: list[Config] = [{"name": "shop", "match": {"path": "/*"}, "split": "shop", "cache": True}]
    with canary({"routes": routes}, weight="0%", sticky={"cookie": "side"}) as pair:
        pair.stable.on("/page", responds(200, b"x", ("Cache-Control", "max-age=600")))
        cookies = [str(fetch(pair.port, "/page").fields.values("Set-Cookie")) for _ in range(6)]
        assert len(pair.stable.seen("/page")) == 1
        set_by = [cookie for cookie in cookies if "side=" in cookie]
        assert len(set(set_by)) == len(set_by)


def test_a_change_by_hand_is_said_once() -> None:
    with canary(weight="10%") as pair:
        steer(pair.proxy, "set", "shop", "12.34%")
        assert len(notes(pair.proxy, "shop", "12.34")) == 1
