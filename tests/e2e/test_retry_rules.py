"""When a request is tried again: where that cannot do the same thing twice, after a pause, and not without end."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.client import Client, Response, fetch
from tests.support.fleet import (
    Mortal,
    addresses,
    breaks_off,
    breaks_off_in_the_body,
    breaks_off_in_the_head,
    fleet,
    slow,
    who,
)
from tests.support.origin import Exchange, Handler, Refusing, Waits, responds
from tests.support.proxy import Config, Proxy, reverse

SAFE, UNSAFE = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"], ["POST", "PATCH"]


def route(**retry: Any) -> list[Config]:
    return [{"name": "all", "match": {"path": "/*"}, "pool": "all", "retry": retry}]


@contextmanager
def bad_and_good(bad: Handler, **retry: Any) -> Iterator[tuple[Proxy, Mortal, Mortal]]:
    """Two servers in turn; nobody is taken out for what it does."""
    with fleet(2) as (a, b):
        a.default = bad
        pool: Config = {"outlier": False, "retry_budget": "none"}
        with Proxy(reverse(addresses([a, b]), pool=pool, routes=route(**retry))) as proxy:
            yield proxy, a, b


def ask(proxy: Proxy, method: str, path: str) -> Response:
    return fetch(proxy.port, path, method=method, body=b"body" if method in ("PUT", "POST", "PATCH") else None)


BREAKS: dict[str, Handler] = {"before": breaks_off, "in the head": breaks_off_in_the_head}


@pytest.mark.parametrize("where", BREAKS)
@pytest.mark.parametrize("method", SAFE)
def test_what_may_be_repeated_is(where: str, method: str) -> None:
    """Nothing of the response has reached the client: it notices nothing."""
    with bad_and_good(BREAKS[where], attempts=2) as (proxy, a, b):
        answers = [ask(proxy, method, f"/{number}") for number in range(6)]
        assert Counter(map(who, answers)) == {"b": 6}
        assert a.requests
        assert all(request.body == b"body" for request in b.requests if method == "PUT"), "the body goes with it"


@pytest.mark.parametrize("where", BREAKS)
@pytest.mark.parametrize("method", UNSAFE)
def test_what_may_not_be_repeated_is_not(where: str, method: str) -> None:
    """Once it was sent nobody knows what it has done."""
    with bad_and_good(BREAKS[where], attempts=3) as (proxy, a, b):
        statuses = Counter(ask(proxy, method, f"/{number}").status for number in range(6))
        assert statuses == {200: 3, 502: 3}
        for number in range(6):
            assert len(a.seen(f"/{number}")) + len(b.seen(f"/{number}")) == 1


@pytest.mark.parametrize("method", SAFE + UNSAFE)
def test_what_was_never_sent_goes_to_another(method: str) -> None:
    with Refusing() as dead, fleet(1) as (good,):
        pool: Config = {"outlier": False}
        with Proxy(reverse([dead.address, good.address], pool=pool)) as proxy:
            for number in range(6):
                assert ask(proxy, method, f"/{number}").status == 200
                assert len(good.seen(f"/{number}")) == 1


def test_a_connection_that_does_not_come_about(ipv4_blackhole: str) -> None:
    """Neither accepted nor refused: after the time for it another server is asked, also for a POST."""
    with fleet(1) as (good,):
        tree = reverse([ipv4_blackhole, good.address], pool={"outlier": False}, timeout={"connect": "300ms"})
        with Proxy(tree) as proxy:
            for number in range(4):
                assert ask(proxy, "POST", f"/{number}").status == 200
                assert len(good.seen(f"/{number}")) == 1


@pytest.fixture
def ipv4_blackhole() -> Iterator[str]:
    """A listening socket that accepts nothing and whose queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            waiting.append(sock)
        yield f"{address[0]}:{address[1]}"
        for sock in waiting:
            sock.close()


def test_never_after_the_body_has_begun() -> None:
    with bad_and_good(breaks_off_in_the_body, attempts=3) as (proxy, a, b):
        broken = 0
        for number in range(6):
            with Client(proxy.port) as client:
                client.request("GET", f"/{number}")
                head = client.head()
                assert head.status == 200
                if not head.fields.get("X-Origin"):
                    client.expect_broken_off(head)
                    broken += 1
        assert broken == len(a.requests) == 3
        assert len(b.requests) == 3


# -- the time of one try


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_slow_try_is_given_up_for_another_server(method: str) -> None:
    """And its connection is closed: the server need not go on for nobody."""
    with bad_and_good(Waits(), attempts=2, try_timeout="300ms") as (proxy, a, _):
        assert Counter(who(ask(proxy, method, f"/{number}")) for number in range(4)) == {"b": 4}
        assert len(a.requests) == 2
        for request in a.requests:
            a.wait_ended(request.connection)


def test_a_slow_post_is_waited_for() -> None:
    """No other try could follow."""
    with bad_and_good(slow(1), attempts=2, try_timeout="200ms") as (proxy, a, b):
        assert {ask(proxy, "POST", f"/{number}").status for number in range(4)} == {200}
        assert len(a.requests) == 2
        for number in range(4):
            assert len(a.seen(f"/{number}")) + len(b.seen(f"/{number}")) == 1


def test_the_last_try_is_waited_for() -> None:
    with fleet(3, slow(1)) as servers:
        tree = reverse(addresses(servers), routes=route(attempts=2, try_timeout="200ms"), pool={"outlier": False})
        with Proxy(tree) as proxy:
            assert ask(proxy, "GET", "/x").status == 200
            assert sum(len(server.seen("/x")) for server in servers) == 2
            assert proxy.record("/x")["attempts"] == 2


def test_when_all_are_too_slow() -> None:
    with fleet(3, Waits()) as servers:
        tree = reverse(addresses(servers), routes=route(attempts=3, try_timeout="200ms"), timeout={"first_byte": "1s"})
        with Proxy(tree) as proxy:
            response = ask(proxy, "GET", "/x")
            assert response.status == 504
            assert "error=" in (response.fields.get("Proxy-Status") or "")
            assert [len(server.seen("/x")) for server in servers] == [1, 1, 1]


def test_a_slow_body_is_not_a_slow_try() -> None:
    """The time is that until the response comes."""

    def trickles(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nX-Origin: a\r\nContent-Length: 4\r\n\r\n")
        for _ in range(4):
            threading.Event().wait(0.15)
            exchange.send(b"x")

    with bad_and_good(trickles, attempts=2, try_timeout="300ms") as (proxy, _, __):
        assert Counter(who(ask(proxy, "GET", f"/{number}")) for number in range(4)) == {"a": 2, "b": 2}


# -- how often, and after which pause


@pytest.mark.parametrize("attempts", [1, 2, 3, 5])
def test_as_many_attempts_as_are_written(attempts: int) -> None:
    """And never two at the same server."""
    with fleet(4, breaks_off) as servers:
        pool: Config = {"outlier": False, "retry_budget": "none"}
        with Proxy(reverse(addresses(servers), pool=pool, routes=route(attempts=attempts))) as proxy:
            assert ask(proxy, "GET", "/x").status == 502
            counts = [len(server.seen("/x")) for server in servers]
            assert sum(counts) == min(attempts, 4)
            assert max(counts) == 1


@pytest.mark.parametrize("cause", ["reset", "status"])
def test_an_outage_is_not_multiplied(cause: str) -> None:
    """400 requests, of which each would be tried three times; a fifth of them may be, and five in each second."""
    handler = breaks_off if cause == "reset" else responds(503)
    with fleet(3, handler) as servers:
        pool: Config = {"outlier": False, "retry_budget": {"percent": "20%", "min": "5/s"}}
        on = ["connect", "reset", 503]
        with Proxy(reverse(addresses(servers), pool=pool, routes=route(attempts=3, on=on, backoff="1ms"))) as proxy:
            began = time.monotonic()
            statuses = {ask(proxy, "GET", "/x").status for _ in range(400)}
            seconds = time.monotonic() - began
            assert statuses == {502 if cause == "reset" else 503}
            attempts = sum(len(server.requests) for server in servers)
            # the window slides: what it forgets in a long run may be spent again
            assert 400 < attempts <= 400 + 80 + 5 * (seconds + 11)


def test_without_a_budget_all_are_repeated() -> None:
    with fleet(3, breaks_off) as servers:
        pool: Config = {"outlier": False, "retry_budget": "none"}
        with Proxy(reverse(addresses(servers), pool=pool, routes=route(attempts=3, backoff="1ms"))) as proxy:
            for _ in range(100):
                ask(proxy, "GET", "/x")
            assert sum(len(server.requests) for server in servers) == 300


def test_the_budget_does_not_touch_what_goes_well() -> None:
    with fleet(3) as servers:
        pool: Config = {"retry_budget": {"percent": "0%", "min": "1/s"}}
        with Proxy(reverse(addresses(servers), pool=pool)) as proxy:
            assert {ask(proxy, "GET", "/x").status for _ in range(100)} == {200}


def test_pauses_between_attempts() -> None:
    """At random up to the bound, which doubles: of 20 pauses of 100 ms and then 200 ms the sum is 3 s on the average,
    and less than 0.5 s by chance in less than one run of a million."""
    came: list[float] = []

    def notes_the_time(exchange: Exchange) -> None:
        came.append(time.monotonic())
        exchange.respond(503)

    with fleet(3, notes_the_time) as servers:
        pool: Config = {"outlier": False, "retry_budget": "none"}
        retry = route(attempts=3, on=[503], backoff="100ms", max_backoff="200ms")
        with Proxy(reverse(addresses(servers), pool=pool, routes=retry)) as proxy:
            total = 0.0
            for _ in range(10):
                came.clear()
                assert ask(proxy, "GET", "/x").status == 503
                assert len(came) == 3
                total += came[-1] - came[0]
            assert total > 0.5
