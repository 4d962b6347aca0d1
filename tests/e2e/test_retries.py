"""Which server of a pool, and which next when one fails."""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.support.client import Client, fetch
from tests.support.origin import Exchange, Origin, Refusing, responds
from tests.support.proxy import Proxy, reverse
from tests.support.wait import Together


def shares(proxy: Proxy, count: int) -> Counter[str]:
    return Counter(fetch(proxy.port).fields.get("X-Origin") or "-" for _ in range(count))


def test_round_robin_is_even() -> None:
    with (
        Origin("a") as a,
        Origin("b") as b,
        Origin("c") as c,
        Proxy(reverse([a.address, b.address, c.address])) as proxy,
    ):
        assert shares(proxy, 30) == {"a": 10, "b": 10, "c": 10}


def test_weights_hold_over_all_workers_and_connections() -> None:
    with Origin("a") as a, Origin("b") as b:
        servers = [{"address": a.address, "weight": 3}, b.address]
        with Proxy(reverse(servers)) as proxy:
            got: list[str | None] = []

            def some(_: int) -> None:
                with Client(proxy.port) as client:
                    got.extend(client.ask().fields.get("X-Origin") for _ in range(20))

            Together(some, 8).join()
            count = Counter(got)
            assert count.total() == 160
            assert abs(count["a"] - 120) <= 4


def test_a_backup_rests_until_it_is_needed() -> None:
    with Origin("a") as a, Origin("spare") as spare:
        servers = [a.address, {"address": spare.address, "backup": True}]
        with Proxy(reverse(servers)) as proxy:
            assert shares(proxy, 20) == {"a": 20}
            a.close()
            assert shares(proxy, 20) == {"spare": 20}


def test_weight_zero_takes_no_traffic() -> None:
    with Origin("a") as a, Origin("b") as b, Proxy(reverse([a.address, {"address": b.address, "weight": 0}])) as proxy:
        assert shares(proxy, 10) == {"a": 10}


def test_a_refusing_server_is_passed_over() -> None:
    with Refusing() as dead, Origin() as origin, Proxy(reverse([dead.address, origin.address])) as proxy:
        for i in range(20):
            assert fetch(proxy.port, f"/{i}").status == 200
        assert any(record["attempts"] == 2 for record in proxy.wait_records(lambda r: True, 20))


def test_a_refused_post_is_sent_whole_to_the_next() -> None:
    body = bytes(range(256)) * 4000
    with Refusing() as dead, Origin() as origin, Proxy(reverse([dead.address, origin.address])) as proxy:
        for i in range(4):
            assert fetch(proxy.port, f"/{i}", method="POST", body=body).status == 200
            assert origin.only(f"/{i}").body == body


def test_all_refuse() -> None:
    with Refusing() as one, Refusing() as two, Proxy(reverse([one.address, two.address])) as proxy:
        response = fetch(proxy.port, "/x", [("Accept", "application/json")])
        assert response.status in (502, 503)
        assert "error=" in (response.fields.get("Proxy-Status") or "")
        assert response.json()
        assert one.address not in response.text, "no internal address is shown"
        record = proxy.record("/x")
        assert (record["status"], record["attempts"]) == (response.status, 2)


def test_no_second_attempt_where_none_is_wanted() -> None:
    with Refusing() as dead, Origin() as origin:
        routes = [{"name": "all", "match": {"path": "/*"}, "pool": "all", "retry": {"attempts": 1}}]
        with Proxy(reverse([dead.address, origin.address], routes=routes, pool={"outlier": False})) as proxy:
            statuses = Counter(fetch(proxy.port).status for _ in range(20))
    assert statuses == {200: 10, 502: 10}


def breaks_off(exchange: Exchange) -> None:
    exchange.read_body()
    exchange.reset()


def test_a_server_that_breaks_off_before_any_answer() -> None:
    with (
        Origin("bad", breaks_off) as bad,
        Origin("good") as good,
        Proxy(reverse([bad.address, good.address], pool={"outlier": False})) as proxy,
    ):
        assert {fetch(proxy.port, "/get").status for _ in range(10)} == {200}
        assert bad.seen("/get"), "the bad one was tried"
        posts = Counter(fetch(proxy.port, "/post", method="POST", body=b"x").status for _ in range(10))
        assert set(posts) == {200, 502}
        assert len(bad.seen("/post")) + len(good.seen("/post")) == 10, "no POST was sent twice"


def test_no_retry_after_the_answer_began() -> None:
    def half(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        exchange.close()

    with (
        Origin("bad", half) as bad,
        Origin("good") as good,
        Proxy(reverse([bad.address, {"address": good.address, "backup": True}])) as proxy,
        Client(proxy.port) as client,
    ):
        client.request()
        response = client.head()
        assert response.status == 200
        client.expect_broken_off(response)
        assert not good.requests


@pytest.mark.parametrize(
    ("handler", "on"),
    [(responds(503, b"later"), 503), (responds(500, b"oops"), 500), (responds(429, b"slow"), 429)],
    ids=["503", "500", "429"],
)
def test_statuses_that_are_tried_again(handler: Callable[[Exchange], None], on: int) -> None:
    routes = [
        {
            "name": "all",
            "match": {"path": "/*"},
            "pool": "all",
            "retry": {"attempts": 2, "on": ["connect", "reset", on]},
        }
    ]
    with (
        Origin("sick", handler) as sick,
        Origin("good") as good,
        Proxy(reverse([sick.address, good.address], routes=routes)) as proxy,
    ):
        assert shares(proxy, 10) == {"good": 10}
        assert sick.requests
        posts = Counter(fetch(proxy.port, method="POST", body=b"x").status for _ in range(10))
        assert set(posts) == {200, on}, "a POST is not repeated"


def test_the_last_answer_is_passed_on_when_all_are_sick() -> None:
    routes = [{"name": "all", "match": {"path": "/*"}, "pool": "all", "retry": {"attempts": 2, "on": [503]}}]
    with (
        Origin("a", responds(503, b"later", ("Retry-After", "7"))) as a,
        Origin("b", responds(503, b"later")) as b,
        Proxy(reverse([a.address, b.address], routes=routes)) as proxy,
    ):
        response = fetch(proxy.port)
        assert (response.status, response.text) == (503, "later")
        assert len(a.requests) + len(b.requests) == 2


def test_statuses_are_not_tried_again_unless_named() -> None:
    with (
        Origin("sick", responds(503, b"later")) as sick,
        Origin("good") as good,
        Proxy(reverse([sick.address, good.address])) as proxy,
    ):
        assert Counter(fetch(proxy.port).status for _ in range(10)) == {200: 5, 503: 5}


def test_a_server_that_comes_back_is_used_again() -> None:
    with Origin("a") as a, Refusing() as later, Proxy(reverse([a.address, later.address])) as proxy:
        assert shares(proxy, 6) == {"a": 6}
        later.sock.listen()

        def answer_one() -> None:
            sock, _ = later.sock.accept()
            with sock:
                sock.recv(65_536)
                sock.sendall(b"HTTP/1.1 200 OK\r\nX-Origin: back\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        back = Together(lambda _: answer_one(), 1)
        assert "back" in shares(proxy, 2)
        back.join()
