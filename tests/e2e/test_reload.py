"""A new configuration while requests and tunnels go on: nobody notices, or nothing changes."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client, connect, fetch
from tests.support.echo import Server
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Config, Proxy, forward, free_port, listens, reverse
from tests.support.wait import Together, until, wait_for


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


def answering(body: str) -> Config:
    return reverse(routes=[{"name": "all", "match": {"path": "/*"}, "respond": {"body": body}}])


def set_body(proxy: Proxy, body: str) -> None:
    proxy.config["reverse"]["routes"][0]["respond"]["body"] = body


def test_by_command(origin: Origin) -> None:
    with Proxy(answering("one")) as proxy:
        assert fetch(proxy.port).text == "one"
        before = proxy.status()["epoch"]
        set_body(proxy, "two")
        done = proxy.reload()
        assert done.returncode == 0, done.stderr
        assert fetch(proxy.port).text == "two", "in force when the command has answered"
        assert proxy.status()["epoch"] > before


def test_by_sighup() -> None:
    with Proxy(answering("one")) as proxy:
        set_body(proxy, "two")
        proxy.save()
        proxy.signal(signal.SIGHUP)
        until(lambda: fetch(proxy.port).text == "two", "the new configuration")


def test_by_watching() -> None:
    with Proxy(answering("one"), arguments=["--watch"]) as proxy:
        until(lambda: proxy.status(), "a running proxy")
        for body in ("two", "three"):
            set_body(proxy, body)

            def saved_and_seen(body: str = body) -> bool:
                return fetch(proxy.port).text == body

            proxy.save()
            until(saved_and_seen, f"the answer {body}")
        proxy.path.write_text("{")
        until(lambda: "reviver.json:" in proxy.stderr, "the error of the broken file")
        assert fetch(proxy.port).text == "three"
        set_body(proxy, "four")
        proxy.save()
        until(lambda: fetch(proxy.port).text == "four", "the repaired file")


def test_the_same_configuration_is_no_change() -> None:
    with Proxy(answering("one")) as proxy:
        before = proxy.status()["epoch"]
        assert proxy.reload().returncode == 0
        assert proxy.status()["epoch"] == before


def test_a_broken_one_changes_nothing_and_says_why() -> None:
    with Proxy(answering("one")) as proxy:
        good = dict(proxy.config)
        proxy.config = {
            **good,
            "reverse": {"routes": [{"name": "x", "match": {"path": "/*"}, "pool": "nowhere"}]},
            "nonsense": 1,
        }
        done = proxy.reload()
        assert done.returncode == 2
        text = done.stdout + done.stderr
        assert "nowhere" in text
        assert "nonsense" in text
        assert "reviver.json:" in text
        assert fetch(proxy.port).text == "one"
        proxy.signal(signal.SIGHUP)
        until(lambda: "nonsense" in proxy.stderr, "the errors on stderr")
        assert fetch(proxy.port).text == "one"
        proxy.config = good


def test_a_listener_that_cannot_be_bound_changes_nothing() -> None:
    with Server() as squatter, Proxy(answering("one")) as proxy:
        good = {**proxy.config, "listeners": dict(proxy.config["listeners"])}
        proxy.config["listeners"]["more"] = {"bind": squatter.address, "role": "reverse"}
        set_body(proxy, "two")
        done = proxy.reload()
        assert done.returncode == 1
        assert str(squatter.port) in done.stdout + done.stderr
        assert fetch(proxy.port).text == "one"
        proxy.config = good


def test_listeners_come_and_go() -> None:
    with Proxy(answering("one")) as proxy:
        first, second = proxy.port, free_port()
        proxy.config["listeners"]["more"] = {"bind": f"127.0.0.1:{second}", "role": "reverse"}
        assert proxy.reload().returncode == 0
        assert fetch(second).text == "one"
        kept = Client(second)
        assert kept.ask().status == 200
        del proxy.config["listeners"]["more"]
        assert proxy.reload().returncode == 0
        until(lambda: not listens(second), "the listener to be gone")
        assert fetch(first).text == "one"
        with kept:
            kept.expect_closed()


def test_a_moved_listener() -> None:
    with Proxy(answering("one")) as proxy:
        old, new = proxy.port, free_port()
        proxy.config["listeners"]["web"]["bind"] = f"127.0.0.1:{new}"
        assert proxy.reload().returncode == 0
        assert fetch(new).text == "one"
        until(lambda: not listens(old), "the old address to be free")


def test_under_load_nobody_fails(origin: Origin) -> None:
    with Origin("other") as other, Proxy(reverse([origin.address])) as proxy:
        stop = threading.Event()
        counts = [0] * 6

        def load(index: int) -> None:
            keep = index % 2 == 0
            client = Client(proxy.port)
            while not stop.is_set():
                body = b"x" * 10_000
                assert client.ask("POST", "/load", body=body).status == 200
                counts[index] += 1
                if not keep:
                    client.close()
                    client = Client(proxy.port)
            client.close()

        together = Together(load, len(counts))
        for round_ in range(8):
            servers = [origin.address, other.address] if round_ % 2 else [other.address]
            proxy.config["reverse"]["pools"]["all"]["servers"] = servers
            proxy.config["listeners"]["web"]["limits"] = {"fields": 90 + round_}
            done = proxy.reload()
            assert done.returncode == 0, done.stderr
        stop.set()
        together.join()
        assert min(counts) > 0
        proxy.wait_records(lambda record: record.get("path") == "/load" and record.get("status") == 200, sum(counts))
        assert len(proxy.records()) == sum(counts)


def test_a_connection_stays_and_its_next_request_sees_the_new_routes() -> None:
    with Proxy(answering("one")) as proxy, Client(proxy.port) as client:
        assert client.ask().text == "one"
        set_body(proxy, "two")
        assert proxy.reload().returncode == 0
        assert client.ask().text == "two"


def test_a_flow_ends_by_the_plan_that_it_began_with(origin: Origin) -> None:
    go = threading.Event()

    def slow(exchange: Exchange) -> None:
        wait_for(go, "the test's leave")
        exchange.respond(200, b"finished")

    origin.on("/begun", slow)
    routes = [
        {"name": "old", "match": {"path": "/*"}, "pool": "all", "headers": {"response": {"set": {"X-Plan": "old"}}}}
    ]
    with Proxy(reverse([origin.address], routes=routes)) as proxy, Client(proxy.port) as client:
        client.request("GET", "/begun")
        origin.wait_for("/begun")
        proxy.config["reverse"] = {
            "routes": [{"name": "new", "match": {"path": "/*"}, "respond": {"body": "new"}}],
            "pools": {},
        }
        assert proxy.reload().returncode == 0
        go.set()
        response = client.response()
        assert (response.text, response.fields.get("X-Plan")) == ("finished", "old")
        assert client.ask().text == "new"
        assert proxy.record("/begun")["route"] == "old"


def test_tunnels_survive() -> None:
    with Server() as echo, Proxy(forward()) as proxy:
        client, _ = connect(proxy.port, echo.address)
        with client:
            for i in range(5):
                proxy.config["forward"]["connect_ports"] = [443, 444 + i]
                assert proxy.reload().returncode == 0
                client.send(b"still here")
                assert client.read_exactly(10) == b"still here"
        other, response = connect(proxy.port, echo.address)
        other.close()
        assert response.status == 403, "the new rule holds for new tunnels"


def test_counters_survive() -> None:
    with Proxy(answering("one")) as proxy:
        for _ in range(7):
            fetch(proxy.port)
        set_body(proxy, "two")
        assert proxy.reload().returncode == 0
        fetch(proxy.port)

        def requests() -> int:
            return int(proxy.status()["metrics"]["routes"]["all"]["requests"])

        assert until(lambda: requests() >= 8, "the counters") and requests() == 8


def test_many_reloads_leave_nothing_behind() -> None:
    with Proxy(answering("0")) as proxy:
        fetch(proxy.port)

        def descriptors() -> int:
            return len(list(Path(f"/proc/{proxy.pid}/fd").iterdir()))

        before = until(descriptors, "descriptors")
        for i in range(1, 9):
            set_body(proxy, str(i))
            assert proxy.reload().returncode == 0
        assert fetch(proxy.port).text == "8"
        until(lambda: descriptors() <= before + 4, f"descriptors to go back to {before}")
