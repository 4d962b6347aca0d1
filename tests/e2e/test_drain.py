"""SIGTERM: nothing new, what is under way finishes, and then the end."""

import signal
import threading
from collections.abc import Iterator

import pytest

from tests.support.client import Client, connect
from tests.support.echo import Server
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, forward, listens, reverse
from tests.support.wait import until, wait_for


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


class Held:
    """A handler that answers when it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        wait_for(self.go, "the test's leave", 60)
        exchange.respond(200, b"finished")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_flow_finishes_and_new_ones_are_refused(origin: Origin, number: signal.Signals) -> None:
    held = Held()
    origin.on("/held", held)
    with Proxy(reverse([origin.address])) as proxy, Client(proxy.port) as client:
        seen = len(origin.seen("/held"))
        client.request("GET", "/held")
        origin.wait_for("/held", seen + 1)
        proxy.signal(number)
        until(lambda: not listens(proxy.port), "new connections to be refused")
        assert proxy.process.poll() is None
        held.go.set()
        response = client.response()
        assert (response.status, response.text) == (200, "finished")
        assert (response.fields.get("Connection") or "").lower() == "close"
        client.expect_closed()
        assert proxy.wait() == 0
        assert proxy.record("/held")["ending"] == "complete"


def test_idle_connections_do_not_hold_it_up(origin: Origin) -> None:
    with Proxy(reverse([origin.address], timeout={"drain": "60s"})) as proxy:
        clients = [Client(proxy.port) for _ in range(10)]
        for client in clients[:5]:
            assert client.ask("GET", "/idle").status == 200
        proxy.signal(signal.SIGTERM)
        assert proxy.wait(20) == 0
        for client in clients:
            client.expect_closed()
            client.close()


def test_an_upload_under_way_finishes(origin: Origin) -> None:
    with Proxy(reverse([origin.address])) as proxy, Client(proxy.port) as client:
        client.request("POST", "/upload", [("Content-Length", "10")])
        client.send(b"hello")
        origin.wait_for("/upload")
        proxy.signal(signal.SIGTERM)
        until(lambda: not listens(proxy.port), "new connections to be refused")
        client.send(b"world")
        assert client.response().status == 200
        assert origin.only("/upload").body == b"helloworld"
        assert proxy.wait() == 0


def test_the_time_is_bounded(origin: Origin) -> None:
    held = Held()
    origin.on("/for-ever", held)
    with Proxy(reverse([origin.address], timeout={"drain": "500ms"})) as proxy, Client(proxy.port) as client:
        client.request("GET", "/for-ever")
        origin.wait_for("/for-ever")
        proxy.signal(signal.SIGTERM)
        assert proxy.wait(20) in (0, 1)
        client.read_rest()
        assert [record["path"] for record in proxy.records()] == ["/for-ever"], (
            "even a flow that is cut off has its record"
        )
        held.go.set()
        proxy.process.returncode = 0


def test_a_second_signal_ends_it_at_once(origin: Origin) -> None:
    held = Held()
    origin.on("/impatient", held)
    with Proxy(reverse([origin.address], timeout={"drain": "60s"})) as proxy, Client(proxy.port) as client:
        client.request("GET", "/impatient")
        origin.wait_for("/impatient")
        proxy.signal(signal.SIGTERM)
        until(lambda: not listens(proxy.port), "new connections to be refused")
        proxy.signal(signal.SIGTERM)
        proxy.wait(20)
        held.go.set()
        proxy.process.returncode = 0


def test_a_tunnel_goes_on_until_the_time_is_up() -> None:
    with Server() as echo, Proxy(forward(top={"timeout": {"drain": "60s"}})) as proxy:
        client, _ = connect(proxy.port, echo.address)
        with client:
            proxy.signal(signal.SIGTERM)
            until(lambda: not listens(proxy.port), "new connections to be refused")
            client.send(b"still")
            assert client.read_exactly(5) == b"still"
        assert proxy.wait(20) == 0


def test_by_the_stop_command(origin: Origin) -> None:
    held = Held()
    origin.on("/stopped", held)
    with Proxy(reverse([origin.address])) as proxy, Client(proxy.port) as client:
        client.request("GET", "/stopped")
        origin.wait_for("/stopped")
        done: list[int] = []
        stopper = threading.Thread(target=lambda: done.append(proxy.cli("stop").returncode), daemon=True)
        stopper.start()
        until(lambda: not listens(proxy.port), "new connections to be refused")
        assert not done, "the command waits until the proxy is down"
        held.go.set()
        assert client.response().status == 200
        stopper.join(30)
        assert done == [0]
        assert proxy.wait() == 0
