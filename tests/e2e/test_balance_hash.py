"""Consistent hashing: the same server for the same key, whoever takes the connection, and nobody moves without need."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.client import fetch
from tests.support.fleet import Crowd, Mortal, addresses, fleet, held_one_by_one, spread, who, with_gates
from tests.support.pools import HEALTH, wait_states
from tests.support.proxy import Config, Proxy, reverse

HASHES = ["hash", "maglev"]


def by_key(crowd: Crowd, count: int, name: str = "X-Key") -> list[str]:
    """Who answers for each of so many keys."""
    return crowd.spread([("/", [(name, f"key-{number}")]) for number in range(count)])


@pytest.fixture(params=HASHES)
def balance(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def servers() -> Iterator[list[Mortal]]:
    with fleet(4) as servers:
        yield servers


def start(servers: list[Mortal], balance: str, on: str | None, **keys: object) -> Proxy:
    hash_on = {} if on is None else {"hash_on": on}
    return Proxy(reverse(addresses(servers), pool={"balance": balance, **hash_on, **keys}))


@pytest.mark.parametrize("on", [None, "client"])
def test_by_the_client(servers: list[Mortal], balance: str, on: str | None) -> None:
    """Which is the default."""
    with start(servers, balance, on) as proxy:
        sources = [f"127.0.5.{number}" for number in range(1, 41)]
        first = [who(fetch(proxy.port, source=source)) for source in sources]
        for path in ("/other", "/third"):
            assert [who(fetch(proxy.port, path, source=source)) for source in sources] == first
        assert set(first) == {"a", "b", "c", "d"}, "40 clients are all over them"


def test_by_the_client_that_a_trusted_proxy_names(servers: list[Mortal], balance: str) -> None:
    config = reverse(addresses(servers), pool={"balance": balance}, trusted_proxies=["127.0.0.1"])
    with Proxy(config) as proxy:

        def of(client: str) -> str:
            return who(fetch(proxy.port, fields=[("X-Forwarded-For", client)]))

        clients = [f"192.0.2.{number}" for number in range(40)]
        first = [of(client) for client in clients]
        assert [of(client) for client in clients] == first
        assert set(first) == {"a", "b", "c", "d"}


def test_by_the_path(servers: list[Mortal], balance: str) -> None:
    """As it is normalised, and without the query."""
    with start(servers, balance, "path") as proxy, Crowd(proxy.port) as crowd:
        paths = [f"/item/{number}~x" for number in range(40)]
        first = crowd.spread([(path, []) for path in paths])
        assert set(first) == {"a", "b", "c", "d"}
        for spelling in ("{}", "{}?page=2", "/item/.{}"):
            tails = [path.removeprefix("/item") if spelling.startswith("/item/.") else path for path in paths]
            assert crowd.spread([(spelling.format(tail), []) for tail in tails]) == first, spelling
        assert crowd.spread([(path.replace("~", "%7E"), []) for path in paths]) == first


@pytest.mark.parametrize("on", ["header:X-Key", "header:x-key"])
def test_by_a_header(servers: list[Mortal], balance: str, on: str) -> None:
    with start(servers, balance, on) as proxy, Crowd(proxy.port) as crowd:
        first = by_key(crowd, 60)
        assert by_key(crowd, 60) == first
        assert by_key(crowd, 60, "x-KEY") == first
        assert set(first) == {"a", "b", "c", "d"}
        assert len(spread(proxy.port, 20)) == 1, "without it the client's address decides"


def test_by_a_cookie(servers: list[Mortal], balance: str) -> None:
    with start(servers, balance, "cookie:sid") as proxy, Crowd(proxy.port) as crowd:

        def ask(*shapes: str) -> list[str]:
            return crowd.spread([("/", [("Cookie", shape.format(n))]) for n in range(60) for shape in shapes])

        first = ask("sid=s{}")
        assert ask("a=b; sid=s{}; c=d") == first
        assert set(first) == {"a", "b", "c", "d"}
        assert len(spread(proxy.port, 20, fields=[("Cookie", "other=1")])) == 1


def test_all_proxies_agree(servers: list[Mortal], balance: str) -> None:
    """Several beside each other, and the same one after a restart: a server's own cache stays useful."""
    with start(servers, balance, "header:X-Key") as one, start(servers, balance, "header:X-Key") as two:
        with Crowd(one.port) as crowd, Crowd(two.port) as other:
            first = by_key(crowd, 100)
            assert by_key(other, 100) == first
        one.restart()
        with Crowd(one.port) as crowd:
            assert by_key(crowd, 100) == first


def test_a_reload_moves_nobody(servers: list[Mortal], balance: str) -> None:
    with start(servers, balance, "header:X-Key") as proxy, Crowd(proxy.port) as crowd:
        first = by_key(crowd, 100)
        proxy.config["reverse"]["pools"]["all"]["queue"] = {"max": 7}
        assert proxy.reload().returncode == 0
        assert by_key(crowd, 100) == first


@pytest.mark.parametrize("known_by", ["trying", "health"])
def test_only_the_keys_of_a_dead_server_move(servers: list[Mortal], balance: str, known_by: str) -> None:
    """To several others; and they go home when it is back. Maglev's table may move some few others."""
    keys: Config = {"health": HEALTH} if known_by == "health" else {"outlier": False, "retry_budget": "none"}
    with start(servers, balance, "header:X-Key", **keys) as proxy, Crowd(proxy.port) as crowd:
        before = by_key(crowd, 400)
        servers[1].die()
        if known_by == "health":
            wait_states(proxy, "up", "down", "up", "up")
        after = by_key(crowd, 400)
        orphans = [new for old, new in zip(before, after, strict=True) if old == "b"]
        assert len(orphans) >= 20
        assert "b" not in after
        assert len(set(orphans)) >= 2, "not all to one"
        moved = [old for old, new in zip(before, after, strict=True) if old not in ("b", new)]
        assert len(moved) <= (0 if balance == "hash" else 20), f"{len(moved)} of {400 - len(orphans)} moved"
        servers[1].rise()
        if known_by == "health":
            wait_states(proxy, "up", "up", "up", "up")
        assert by_key(crowd, 400) == before


def test_a_new_server_takes_its_share_and_no_more(servers: list[Mortal], balance: str) -> None:
    """Written into the file: a quarter of the keys goes to it, and hardly any other moves."""
    with start(servers[:3], balance, "header:X-Key") as proxy, Crowd(proxy.port) as crowd:
        before = by_key(crowd, 400)
        proxy.config["reverse"]["pools"]["all"]["servers"] = addresses(servers)
        assert proxy.reload().returncode == 0
        after = by_key(crowd, 400)
        pairs = list(zip(before, after, strict=True))
        assert 40 <= sum(new == "d" for _, new in pairs) <= 170, "a quarter: 100"
        moved = sum(old != new and new != "d" for old, new in pairs)
        assert moved <= (0 if balance == "hash" else 40), f"{moved} moved between the old ones"


@pytest.mark.parametrize(("bound", "most"), [("125%", 7), ("200%", 11), (None, 7)])
def test_bounded_load(servers: list[Mortal], bound: str | None, most: int) -> None:
    """20 requests for one key: nobody carries more than that of the fair share of 5, rounded up, or one over."""
    gates = with_gates(servers)
    keys = {} if bound is None else {"hash_balance": bound}
    with start(servers, "hash", "header:X-Key", **keys) as proxy, ExitStack() as stack:
        held_one_by_one(stack, proxy.port, gates, 20, [("X-Key", "hot")])
        assert max(gate.holding for gate in gates) <= most, [gate.holding for gate in gates]
        for gate in gates:
            gate.open()


def test_load_without_a_bound(servers: list[Mortal]) -> None:
    gates = with_gates(servers)
    with start(servers, "hash", "header:X-Key", hash_balance="none") as proxy, ExitStack() as stack:
        held_one_by_one(stack, proxy.port, gates, 20, [("X-Key", "hot")])
        assert sorted(gate.holding for gate in gates) == [0, 0, 0, 20]
        for gate in gates:
            gate.open()
