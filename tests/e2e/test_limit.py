"""Rate limits: so many requests and no more, over all workers in sum; what a refused client is told."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import http_sf
import pytest

from tests.support.client import Client, Given, Response, fetch
from tests.support.fleet import Crowd
from tests.support.origin import Origin
from tests.support.proxy import Config, Proxy, reverse
from tests.support.wait import Together, until

#: An hour for each: what comes back within a test is less than one request.
FIVE: Config = {"rate": "5/h"}


@contextmanager
def limited(*limits: Config, **top: Any) -> Iterator[tuple[Proxy, Origin]]:
    limit = limits[0] if len(limits) == 1 else list(limits)
    routes: list[Config] = [
        {"name": "free", "match": {"path": "/free/*"}, "pool": "all"},
        {"name": "all", "match": {"path": "/*"}, "pool": "all", "limit": limit},
    ]
    with Origin() as origin, Proxy(reverse([origin.address], routes=routes, **top)) as proxy:
        yield proxy, origin


def passed(proxy: Proxy, count: int, fields: Given = (), *, source: str | None = None, target: str = "/") -> int:
    """How many of so many requests are let through; each comes on a connection of its own."""
    statuses = Counter(fetch(proxy.port, target, fields, source=source).status for _ in range(count))
    assert set(statuses) <= {200, 429}, statuses
    return statuses[200]


def told(response: Response, name: str) -> list[tuple[str, dict[str, Any]]]:
    """`RateLimit` or `RateLimit-Policy`: a list of names with parameters."""
    value = ", ".join(response.fields.values(name))
    parsed: Any = http_sf.parse(value.encode(), tltype="list")
    return [(str(item), dict(parameters)) for item, parameters in parsed]


# -- how many


def test_over_all_workers_in_sum() -> None:
    """100 from eight threads at once: exactly as many as the burst are let through, and no more reach the server."""
    with limited({"rate": "10/h", "burst": 40}, workers=4) as (proxy, origin):
        got: list[int] = []

        def some(_: int) -> None:
            got.extend(fetch(proxy.port).status for _ in range(25))

        Together(some, 8).join()
        assert Counter(got) == {200: 40, 429: 160}
        assert len(origin.requests) == 40


def test_as_many_at_once_as_the_rate_by_default() -> None:
    with limited(FIVE) as (proxy, _):
        assert passed(proxy, 20) == 5


def test_a_burst_of_its_own() -> None:
    with limited({"rate": "5/h", "burst": 1}) as (proxy, _):
        assert passed(proxy, 20) == 1
    with limited({"rate": "1/h", "burst": 17}) as (proxy, _):
        assert passed(proxy, 40) == 17


def test_it_fills_again_evenly() -> None:
    """One each 100 ms: nobody who waits as long as he is told is refused."""
    with limited({"rate": "10/s", "burst": 1}) as (proxy, _), Client(proxy.port) as client:
        assert client.ask().status == 200
        for _ in range(5):
            until(lambda: client.ask().status == 200, "the next one to be let through")


def test_many_in_a_long_run() -> None:
    """Of as many as one can send, about as many are let through as the rate says; the bounds are of the clock, not of
    chance: the first burst, and what came back in the time that passed."""
    with limited({"rate": "50/s", "burst": 10}) as (proxy, _), Crowd(proxy.port) as crowd:
        began = time.monotonic()
        good = 0
        while (seconds := time.monotonic() - began) < 2:
            good += crowd.ask().status == 200
        assert good <= 10 + 50 * seconds + 1
        assert good >= 50


def test_other_routes_are_free() -> None:
    with limited(FIVE) as (proxy, _):
        assert passed(proxy, 20) == 5
        assert passed(proxy, 20, target="/free/x") == 20


@pytest.mark.parametrize(
    "action", [{"respond": {"body": "x"}}, {"redirect": "https://new.example/"}], ids=["respond", "redirect"]
)
def test_with_any_action(action: Config) -> None:
    with Proxy(reverse(routes=[{"name": "all", "match": {"path": "/*"}, "limit": FIVE, **action}])) as proxy:
        got = Counter(fetch(proxy.port).status for _ in range(20))
        assert got[429] == 15
        assert got[200 if "respond" in action else 302] == 5


# -- what is told


def test_what_a_refused_client_is_told() -> None:
    with limited({"rate": "5/h", "name": "tight"}) as (proxy, origin):
        passed(proxy, 5)
        response = fetch(proxy.port, "/refused", [("Accept", "application/json")])
        assert response.status == 429
        assert 0 < int(response.fields.get("Retry-After") or "0") <= 720, "an hour for five: 720 s for one"
        assert response.json()
        ((name, policy),) = told(response, "RateLimit-Policy")
        assert (name, policy["q"], policy["w"]) == ("tight", 5, 3600)
        ((name, left),) = told(response, "RateLimit")
        assert (name, left["r"]) == ("tight", 0)
        assert 0 < left["t"] <= 3600
        record = proxy.record("/refused")
        assert (record["status"], record["reason"], record["limit"]) == (429, "rate_limited", "tight")
        assert record["attempts"] == 0
        assert "reviver.json:" in record["at"], "which line of the configuration decided"
        assert not origin.seen("/refused")


def test_what_is_left_is_told_before_it_is_gone() -> None:
    with limited(FIVE) as (proxy, _):
        for left in (4, 3, 2, 1, 0):
            response = fetch(proxy.port)
            assert response.status == 200
            ((name, state),) = told(response, "RateLimit")
            assert (name, state["r"]) == ("all", left), "the route's name where the limit has none"
            assert told(response, "RateLimit-Policy")
            assert "Retry-After" not in response.fields
        assert proxy.wait_records(lambda record: True)[0].get("limit") is None


def test_the_fields_may_be_switched_off() -> None:
    with limited({**FIVE, "fields": False}) as (proxy, _):
        names = {name for _ in range(8) for name in fetch(proxy.port).fields.names()}
        assert not {name for name in names if "ratelimit" in name}
        assert "retry-after" in names


def test_a_dry_run_refuses_nobody() -> None:
    with limited({**FIVE, "name": "later", "dry_run": True}) as (proxy, _):
        assert passed(proxy, 20) == 20
        limits = Counter(record.get("limit") for record in proxy.wait_records(lambda record: True, 20))
        assert limits == {None: 5, "later": 15}, "it would have refused these"


# -- whose requests are counted together


def test_by_client() -> None:
    """Which is the default."""
    with limited(FIVE) as (proxy, _):
        assert passed(proxy, 9, source="127.0.0.1") == 5
        assert passed(proxy, 9, source="127.0.0.2") == 5
        assert passed(proxy, 9, source="127.0.0.1") == 0


def test_by_client_behind_a_trusted_proxy() -> None:
    with limited(FIVE, trusted_proxies=["127.0.0.1"]) as (proxy, _):
        for client in ("192.0.2.1", "192.0.2.2"):
            assert passed(proxy, 9, [("X-Forwarded-For", client)]) == 5
        assert passed(proxy, 9, [("X-Forwarded-For", "192.0.2.1")], source="127.0.0.9") == 5, "his word is not believed"
        assert passed(proxy, 3, source="127.0.0.9") == 0


def test_ipv6_by_64_bits() -> None:
    """Whoever has an IPv6 network has all of its addresses."""
    with limited(FIVE, trusted_proxies=["127.0.0.1"]) as (proxy, _):

        def of(client: str) -> int:
            return passed(proxy, 3, [("X-Forwarded-For", client)])

        assert of("2001:db8:0:1::1") == 3
        assert of("2001:db8:0:1:ffff:ffff:ffff:ffff") == 2
        assert of("2001:db8:0:1::2") == 0
        assert of("2001:db8:0:2::1") == 3
        assert of("::ffff:192.0.2.7") + of("192.0.2.7") == 5, "an IPv4 address, however it is written"


def test_by_header() -> None:
    """Who does not have it is known by the address."""
    with limited({**FIVE, "by": "header:X-Api-Key"}) as (proxy, _):
        for key in ("one", "two"):
            assert passed(proxy, 9, [("x-api-key", key)]) == 5
        assert passed(proxy, 9, [("X-API-KEY", "one")], source="127.0.0.2") == 0
        assert passed(proxy, 9) == 5
        assert passed(proxy, 9, source="127.0.0.2") == 5


def test_by_cookie() -> None:
    with limited({**FIVE, "by": "cookie:sid"}) as (proxy, _):
        assert passed(proxy, 9, [("Cookie", "a=1; sid=x")]) == 5
        assert passed(proxy, 9, [("Cookie", "sid=x; b=2")]) == 0
        assert passed(proxy, 9, [("Cookie", "sid=y")]) == 5
        assert passed(proxy, 9, [("Cookie", "other=x")]) == 5
        assert passed(proxy, 9) == 0


def test_by_route() -> None:
    """All together."""
    with limited({**FIVE, "by": "route"}) as (proxy, _):
        assert passed(proxy, 3, source="127.0.0.1") == 3
        assert passed(proxy, 9, source="127.0.0.2") == 2
        assert passed(proxy, 9, [("X-Api-Key", "x")], source="127.0.0.3") == 0


def test_several_limits() -> None:
    """Each of them holds: five for one client, eight for all."""
    with limited({**FIVE, "name": "each"}, {"rate": "8/h", "by": "route", "name": "together"}) as (proxy, _):
        assert passed(proxy, 9, source="127.0.0.1") == 5
        assert passed(proxy, 9, source="127.0.0.2") == 3
        refused = {record["limit"] for record in proxy.wait_records(lambda record: record["status"] == 429, 10)}
        assert refused == {"each", "together"}


# -- over a reload


def test_a_reload_forgets_nothing() -> None:
    with limited(FIVE) as (proxy, _):
        assert passed(proxy, 3) == 3
        proxy.config["limits"] = {"head": "16KiB"}
        assert proxy.reload().returncode == 0
        assert passed(proxy, 9) == 2
        assert passed(proxy, 9, source="127.0.0.2") == 5


def test_a_reload_with_another_rate_holds_at_once() -> None:
    with limited(FIVE) as (proxy, _):
        passed(proxy, 9)
        proxy.config["reverse"]["routes"][1]["limit"] = {"rate": "3600/h", "burst": 1000}
        assert proxy.reload().returncode == 0
        until(lambda: passed(proxy, 1) == 1, "more to be let through")
        del proxy.config["reverse"]["routes"][1]["limit"]
        assert proxy.reload().returncode == 0
        assert passed(proxy, 50) == 50
