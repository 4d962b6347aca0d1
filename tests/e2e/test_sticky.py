"""One client stays with one server by a signed cookie."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import Client, Response, fetch
from tests.support.fleet import Crowd, Gate, Mortal, addresses, fleet, who
from tests.support.origin import responds
from tests.support.pools import HEALTH, change, wait_in_flight, wait_states
from tests.support.proxy import Config, Proxy, cli, reverse
from tests.support.tls import TlsClient, tls_listener

SECRET = "correct horse battery staple"
STICKY: Config = {"cookie": "srv", "secret": SECRET}


@pytest.fixture
def servers() -> Iterator[list[Mortal]]:
    with fleet(3) as servers:
        yield servers


def config(servers: list[Mortal], sticky: Config | None = None, **pool: Any) -> Config:
    return reverse(addresses(servers), pool={"sticky": sticky or STICKY, **pool})


def given(response: Response, name: str = "srv") -> str | None:
    """The cookie that a response sets, with its attributes."""
    found = [value for value in response.fields.values("Set-Cookie") if value.startswith(f"{name}=")]
    assert len(found) <= 1, found
    return found[0] if found else None


def pair(response: Response) -> str:
    """`NAME=VALUE` of the cookie that a response sets."""
    cookie = given(response)
    assert cookie, response.fields
    return cookie.partition(";")[0]


def ask(proxy: Proxy, cookie: str | None = None, target: str = "/") -> Response:
    """On a connection of its own."""
    return fetch(proxy.port, target, [("Cookie", cookie)] if cookie else [])


def cookie_for(proxy: Proxy, name: str) -> str:
    """The cookie of a client of this server."""
    for _ in range(60):
        response = ask(proxy)
        if who(response) == name:
            return pair(response)
    raise AssertionError(f"no new client gets to {name}")


@pytest.mark.parametrize("balance", ["round_robin", "least_requests", "random", "hash", "peak_ewma"])
def test_a_client_stays(servers: list[Mortal], balance: str) -> None:
    """Whichever worker it meets; the cookie is set once."""
    with Proxy(config(servers, balance=balance)) as proxy:
        first = ask(proxy)
        cookie = pair(first)
        for _ in range(20):
            again = ask(proxy, cookie)
            assert who(again) == who(first)
            assert given(again) is None, "it has it already"


def test_among_other_cookies(servers: list[Mortal]) -> None:
    with Proxy(config(servers)) as proxy:
        first = ask(proxy)
        for shape in ("a=b; {}; c=d", "{};x=y", 'q="1"; {}', "srvx=1; {}"):
            again = ask(proxy, shape.format(pair(first)))
            assert (who(again), given(again)) == (who(first), None), shape


def test_clients_are_shared_out(servers: list[Mortal]) -> None:
    """New ones, by the pool's way of balancing."""
    with Proxy(config(servers)) as proxy:
        assert Counter(who(ask(proxy)) for _ in range(30)) == {"a": 10, "b": 10, "c": 10}


def attributes(cookie: str | None) -> dict[str, str]:
    assert cookie
    parts = [part.strip().partition("=") for part in cookie.split(";")[1:]]
    return {name.lower(): value for name, _, value in parts}


def test_attributes(servers: list[Mortal]) -> None:
    with Proxy(config(servers)) as proxy:
        found = attributes(given(ask(proxy)))
    assert found["path"] == "/"
    assert "httponly" in found
    assert found["samesite"].lower() in ("lax", "strict")
    assert not {"secure", "domain", "max-age", "expires"} & found.keys(), "until the session ends, for this host"


def test_how_long_it_is_kept(servers: list[Mortal]) -> None:
    with Proxy(config(servers, {**STICKY, "max_age": "2h"})) as proxy:
        assert attributes(given(ask(proxy)))["max-age"] == "7200"


def test_over_tls_it_is_secure(servers: list[Mortal]) -> None:
    with Proxy({**config(servers), "listeners": tls_only()}) as proxy:
        with TlsClient(proxy.port) as client:
            first = client.ask()
        assert "secure" in attributes(given(first))
        with TlsClient(proxy.port) as client:
            assert who(client.ask(fields=[("Cookie", pair(first))])) == who(first)


def tls_only() -> Config:
    listeners: Config = reverse(["127.0.0.1:1"], listener=tls_listener())["listeners"]
    return listeners


def test_it_tells_nothing_of_the_inside(servers: list[Mortal]) -> None:
    with Proxy(config(servers)) as proxy:
        for _ in range(3):
            cookie = given(ask(proxy)) or ""
            assert not any(server.host in cookie or str(server.port) in cookie for server in servers)


def test_what_the_server_sets_stays(servers: list[Mortal]) -> None:
    for server in servers:
        server.on("/login", responds(200, b"in", ("Set-Cookie", "session=1"), ("Set-Cookie", "theme=dark")))
    with Proxy(config(servers)) as proxy:
        response = ask(proxy, target="/login")
        assert {"session=1", "theme=dark"} < set(response.fields.values("Set-Cookie"))
        assert given(response)


@pytest.mark.parametrize("how", ["a late byte", "first byte", "shorter", "longer", "empty", "address", "other"])
def test_a_forged_cookie_is_none(servers: list[Mortal], how: str) -> None:
    """Its client is a new one, and gets a cookie of its own."""
    with Proxy(config(servers)) as proxy:
        good = cookie_for(proxy, "a")
        value = good.partition("=")[2]
        other = "B" if "B" not in (value[0], value[-5]) else "C"
        forged = {
            "a late byte": value[:-5] + other + value[-4:],
            "first byte": other + value[1:],
            "shorter": value[:-4],
            "longer": value + "AAAA",
            "empty": "",
            "address": servers[0].address,
            "other": "a" * 5_000,
        }[how]
        assert forged != value
        answers = [ask(proxy, f"srv={forged}") for _ in range(12)]
        assert Counter(map(who, answers)) == {"a": 4, "b": 4, "c": 4}
        assert all(given(answer) for answer in answers)
        assert who(ask(proxy, good)) == "a"


def test_a_cookie_of_another_secret_is_none(servers: list[Mortal]) -> None:
    other: Config = {**STICKY, "secret": "another secret of enough length"}
    with Proxy(config(servers)) as proxy, Proxy(config(servers, other)) as stranger:
        foreign = cookie_for(stranger, "a")
        answers = [ask(proxy, foreign) for _ in range(9)]
        assert Counter(map(who, answers)) == {"a": 3, "b": 3, "c": 3}
        assert all(given(answer) for answer in answers)


def test_proxies_with_one_secret_agree(servers: list[Mortal]) -> None:
    with Proxy(config(servers)) as proxy, Proxy(config(servers)) as twin:
        for name in "abc":
            cookie = cookie_for(twin, name)
            for one in (proxy, twin):
                assert (who(ask(one, cookie)), given(ask(one, cookie))) == (name, None)


def test_the_secret_may_come_from_the_environment(servers: list[Mortal]) -> None:
    tree = config(servers, {**STICKY, "secret": "${STICKY_SECRET}"})
    with Proxy(tree, env={"STICKY_SECRET": SECRET}) as proxy, Proxy(config(servers)) as twin:
        assert who(ask(twin, cookie_for(proxy, "b"))) == "b"


def test_over_a_reload_and_a_restart(servers: list[Mortal]) -> None:
    with Proxy(config(servers)) as proxy:
        cookie = cookie_for(proxy, "c")
        proxy.config["reverse"]["pools"]["all"]["servers"].reverse()
        assert proxy.reload().returncode == 0
        assert (who(ask(proxy, cookie)), given(ask(proxy, cookie))) == ("c", None)
        proxy.restart()
        assert (who(ask(proxy, cookie)), given(ask(proxy, cookie))) == ("c", None)


def test_without_a_secret_it_holds_until_the_next_start(servers: list[Mortal]) -> None:
    """And is said at the check, which is good all the same."""
    with Proxy(config(servers, {"cookie": "srv"})) as proxy:
        cookie = cookie_for(proxy, "c")
        proxy.config["limits"] = {"head": "16KiB"}
        assert proxy.reload().returncode == 0
        assert (who(ask(proxy, cookie)), given(ask(proxy, cookie))) == ("c", None)
        checked = cli("check", proxy.path)
        assert checked.returncode == 0
        assert "secret" in checked.stdout + checked.stderr


def test_a_drained_server_keeps_its_clients_and_gets_no_new_ones(servers: list[Mortal]) -> None:
    with Proxy(config(servers)) as proxy:
        cookie = cookie_for(proxy, "a")
        change(proxy, "drain", "all", servers[0].address)
        assert Counter(who(ask(proxy)) for _ in range(20)) == {"b": 10, "c": 10}
        for _ in range(10):
            again = ask(proxy, cookie)
            assert (who(again), given(again)) == ("a", None)
        change(proxy, "restore", "all", servers[0].address)
        assert Counter(who(ask(proxy)) for _ in range(30)) == {"a": 10, "b": 10, "c": 10}


@pytest.mark.parametrize("known_by", ["trying", "health"])
def test_when_the_server_is_down(servers: list[Mortal], known_by: str) -> None:
    """Another one and a new cookie; with that the client stays there, also when its first server is back."""
    pool: Config = {"health": HEALTH} if known_by == "health" else {"outlier": False}
    with Proxy(config(servers, **pool)) as proxy:
        old = cookie_for(proxy, "a")
        servers[0].die()
        if known_by == "health":
            wait_states(proxy, "down", "up", "up")
        moved = ask(proxy, old)
        assert who(moved) in ("b", "c")
        new = pair(moved)
        assert new != old
        assert (who(ask(proxy, new)), given(ask(proxy, new))) == (who(moved), None)
        servers[0].rise()
        if known_by == "health":
            wait_states(proxy, "up", "up", "up")
        assert who(ask(proxy, new)) == who(moved)
        assert who(ask(proxy, old)) == "a"


def test_when_the_server_is_ejected(servers: list[Mortal]) -> None:
    """It is as good as down: its clients do not wander over the others until its time is over."""
    with Proxy(config(servers, outlier={"consecutive_errors": 1, "eject": "60s"})) as proxy:
        old = cookie_for(proxy, "a")
        servers[0].default = responds(500)
        assert ask(proxy, old).status == 500
        moved = ask(proxy, old)
        assert who(moved) in ("b", "c")
        assert {who(ask(proxy, pair(moved))) for _ in range(6)} == {who(moved)}


def test_when_the_server_is_full(servers: list[Mortal]) -> None:
    """Another one helps out for a moment; the client stays bound to its own."""
    gate = Gate(servers[0].name_yourself)
    servers[0].on("/held", gate)
    tree = reverse(addresses(servers, max_connections=1), pool={"sticky": STICKY})
    with Proxy(tree) as proxy, Client(proxy.port) as client:
        cookie = cookie_for(proxy, "a")
        wait_in_flight(proxy, 0, 0, 0)
        client.request("GET", "/held", [("Cookie", cookie)])
        gate.wait(1)
        helped = ask(proxy, cookie)
        assert who(helped) in ("b", "c")
        assert given(helped) is None
        gate.open()
        assert client.response().status == 200
        wait_in_flight(proxy, 0, 0, 0)
        assert who(ask(proxy, cookie)) == "a"


def test_a_server_that_is_no_longer_there(servers: list[Mortal]) -> None:
    with Proxy(config(servers)) as proxy:
        cookie = cookie_for(proxy, "a")
        del proxy.config["reverse"]["pools"]["all"]["servers"][0]
        assert proxy.reload().returncode == 0
        moved = ask(proxy, cookie)
        assert who(moved) in ("b", "c")
        assert given(moved)


def test_the_cookie_goes_to_the_server_too(servers: list[Mortal]) -> None:
    """As any other: an application behind may want to know."""
    with Proxy(config(servers)) as proxy:
        cookie = cookie_for(proxy, "b")
        ask(proxy, f"x=1; {cookie}", "/seen")
        assert servers[1].only("/seen").fields.get("Cookie") == f"x=1; {cookie}"


def test_the_cache_gives_nobodys_cookie_to_others(servers: list[Mortal]) -> None:
    for server in servers:
        server.on("/cached", responds(200, server.name.encode(), ("Cache-Control", "max-age=600")))
    routes: list[Config] = [{"name": "all", "match": {"path": "/*"}, "pool": "all", "cache": True}]
    with Proxy(reverse(addresses(servers), pool={"sticky": STICKY}, routes=routes)) as proxy:
        mine = pair(ask(proxy, target="/cached"))
        for _ in range(5):
            hit = ask(proxy, target="/cached")
            assert mine not in str(hit.fields)
        assert sum(len(server.seen("/cached")) for server in servers) == 1, "the cookie keeps nothing out of the cache"


def test_of_two_pools_each_has_its_own(servers: list[Mortal]) -> None:
    """The same name and secret: a cookie of one pool says nothing about the other."""
    routes: list[Config] = [
        {"name": "one", "match": {"path": "/one/*"}, "pool": "one"},
        {"name": "all", "match": {"path": "/*"}, "pool": "all"},
    ]
    pools: Config = {"one": {"servers": addresses(servers[:1]), "sticky": STICKY}}
    tree = reverse(addresses(servers[1:]), pool={"sticky": STICKY}, pools=pools, routes=routes)
    with Proxy(tree) as proxy, Crowd(proxy.port) as crowd:
        foreign = pair(crowd.ask("/one/x"))
        answers = [crowd.ask("/", [("Cookie", foreign)]) for _ in range(10)]
        assert Counter(map(who, answers)) == {"b": 5, "c": 5}
        assert all(given(answer) for answer in answers)
