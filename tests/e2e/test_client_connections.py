"""How many connections one client may have: those beyond are closed at once, and others are not hurt."""

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.support.client import Client, fetch
from tests.support.fleet import Gate
from tests.support.http2 import Http2Client
from tests.support.origin import Origin
from tests.support.proxy import Config, Proxy, Record, forward, free_port, reverse
from tests.support.stream import Closed
from tests.support.tls import TlsClient, tls_listener
from tests.support.wait import Together, until

MANY, OTHER, TRUSTED = "127.0.7.1", "127.0.7.2", "127.0.8.1"
"""A client with many connections, another one, and a proxy that stands for many."""


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@contextmanager
def bounded(origin: Origin, bound: int | str = 3, **top: Any) -> Iterator[Proxy]:
    config = reverse([origin.address], limits={"connections_per_client": bound}, **top)
    with Proxy(config) as proxy:
        yield proxy


@contextmanager
def held(port: int, count: int, source: str = MANY, host: str = "127.0.0.1") -> Iterator[list[Client]]:
    """So many connections, each of which has been served and is kept.

    That an earlier one has ended is not known at once, so there is a second try.
    """
    with ExitStack() as stack:
        clients: list[Client] = []
        for _ in range(count):
            client = until(lambda: served(port, source, host), "a connection to be served")
            assert client
            clients.append(stack.enter_context(client))
        yield clients


def served(port: int, source: str, host: str = "127.0.0.1") -> Client | None:
    """One more connection, if it is served."""
    client = Client(port, source=source, host=host)
    with contextlib.suppress(Closed, ConnectionError):
        assert client.ask("GET", "/held").status == 200
        return client
    client.close()
    return None


def is_served(port: int, source: str = MANY) -> bool:
    """Whether one more connection is."""
    client = served(port, source)
    if client is not None:
        client.close()
    return client is not None


def refusals(proxy: Proxy) -> list[Record]:
    return [record for record in proxy.records() if record["reason"] == "client_connections"]


def test_one_more_is_closed_at_once_and_leaves_a_record(origin: Origin) -> None:
    with bounded(origin) as proxy, held(proxy.port, 3) as clients:
        with Client(proxy.port, source=MANY) as client:
            client.expect_closed()
        (record,) = until(lambda: refusals(proxy), "a record")
        assert (record["client"], record["listener"], record.get("status")) == (MANY, "web", None)
        assert "path" not in record
        assert all(client.ask("GET", "/still").status == 200 for client in clients), "those that are open go on"
        assert len(refusals(proxy)) == 1


def test_others_have_their_own(origin: Origin) -> None:
    with bounded(origin) as proxy, held(proxy.port, 3):
        assert not is_served(proxy.port)
        with held(proxy.port, 3, OTHER):
            assert not is_served(proxy.port, OTHER)
        until(lambda: is_served(proxy.port, OTHER), "room")


def test_who_closes_one_has_room_again(origin: Origin) -> None:
    with bounded(origin) as proxy, held(proxy.port, 3) as clients:
        assert not is_served(proxy.port)
        clients[1].close()
        until(lambda: is_served(proxy.port), "room")
        with held(proxy.port, 1):
            assert not is_served(proxy.port)


def test_the_bound_holds_over_all_workers(origin: Origin) -> None:
    """40 connections at the same time on two workers: the kernel hands them to both."""
    with bounded(origin, 10) as proxy:
        kept: list[Client] = []

        def one(_: int) -> None:
            client = Client(proxy.port, source=MANY)
            try:
                client.ask("GET", "/both")
            except (Closed, ConnectionError):
                client.close()
            else:
                kept.append(client)

        Together(one, 40).join()
        assert len(kept) == 10
        assert len(until(lambda: found if len(found := refusals(proxy)) >= 30 else [], "records")) == 30
        for client in kept:
            client.close()
        until(lambda: is_served(proxy.port), "room")


def test_trusted_proxies_stand_for_many(origin: Origin) -> None:
    with bounded(origin, trusted_proxies=["127.0.8.0/24"]) as proxy:
        with held(proxy.port, 12, TRUSTED):
            assert is_served(proxy.port, TRUSTED)
        assert not refusals(proxy)
        with held(proxy.port, 3):
            assert not is_served(proxy.port)


def test_none_is_no_bound(origin: Origin) -> None:
    with bounded(origin, "none") as proxy, held(proxy.port, 40):
        assert is_served(proxy.port)


def test_listeners_have_bounds_and_counts_of_their_own(origin: Origin) -> None:
    config = reverse([origin.address], limits={"connections_per_client": 2})
    ports = {name: free_port() for name in ("more", "any")}
    config["listeners"]["more"] = {"bind": f"127.0.0.1:{ports['more']}", "role": "reverse"}
    config["listeners"]["more"]["limits"] = {"connections_per_client": 4}
    config["listeners"]["any"] = {"bind": f"127.0.0.1:{ports['any']}", "role": "reverse"}
    config["listeners"]["any"]["limits"] = {"connections_per_client": "none"}
    with Proxy(config) as proxy, held(proxy.port, 2), held(ports["more"], 4), held(ports["any"], 6):
        assert not is_served(proxy.port)
        assert not is_served(ports["more"])
        assert is_served(ports["any"])


def test_ipv6(origin: Origin) -> None:
    config = reverse([origin.address], limits={"connections_per_client": 2})
    port = free_port("::1")
    config["listeners"]["six"] = {"bind": f"[::1]:{port}", "role": "reverse"}
    with Proxy(config), held(port, 2, "::1", "::1"), Client(port, host="::1") as client:
        client.expect_closed()


def test_requests_of_one_connection_are_not_counted(origin: Origin) -> None:
    with bounded(origin, 1) as proxy:
        with Client(proxy.port, source=MANY) as client:
            for _ in range(20):
                assert client.ask("GET", "/one").status == 200
        until(lambda: is_served(proxy.port), "room")

        def only() -> bool:
            with (
                contextlib.suppress(Closed, ConnectionError),
                Http2Client(proxy.port, tls=False, source=MANY) as two,
            ):
                streams = [two.request("GET", f"/stream/{number}") for number in range(20)]
                return [two.response(stream).status for stream in streams] == [200] * 20
            return False

        until(only, "twenty streams")


def test_over_tls(origin: Origin) -> None:
    with bounded(origin, 2, listener=tls_listener()) as proxy, ExitStack() as stack:
        for _ in range(2):
            client = stack.enter_context(TlsClient(proxy.port, source=MANY))
            assert client.ask("GET", "/tls").status == 200
        with Client(proxy.port, source=MANY) as plain:
            plain.expect_closed()


def test_requests_that_are_under_way_count(origin: Origin) -> None:
    gate = Gate()
    origin.on("/gate", gate)
    with bounded(origin, 2) as proxy, ExitStack() as stack:
        clients = [stack.enter_context(Client(proxy.port, source=MANY)) for _ in range(2)]
        for client in clients:
            client.request("GET", "/gate")
        gate.wait(2)
        assert not is_served(proxy.port)
        gate.open()
        assert [client.response().text for client in clients] == ["held", "held"]


def test_tunnels_count_until_they_end(origin: Origin) -> None:
    config = forward(top={"limits": {"connections_per_client": 2}})
    with Proxy(config) as proxy, ExitStack() as stack:
        tunnels = [stack.enter_context(Client(proxy.port, source=MANY)) for _ in range(2)]
        for tunnel in tunnels:
            assert tunnel.ask("CONNECT", origin.address, host=origin.address).status == 200
            assert tunnel.ask("GET", "/through").status == 200
        with Client(proxy.port, source=MANY) as one_more:
            one_more.expect_closed()
        tunnels[0].close()

        def has_room() -> bool:
            with contextlib.suppress(Closed, ConnectionError), Client(proxy.port, source=MANY) as client:
                return client.ask("GET", f"http://{origin.address}/plain", host=origin.address).status == 200
            return False

        until(has_room, "room")


def test_a_reload_changes_the_bound(origin: Origin) -> None:
    with bounded(origin, 2) as proxy, held(proxy.port, 2) as clients:
        assert not is_served(proxy.port)
        proxy.config["limits"]["connections_per_client"] = 5
        assert proxy.reload().returncode == 0
        with held(proxy.port, 3):
            assert not is_served(proxy.port), "those of before the reload count"
            proxy.config["limits"]["connections_per_client"] = 1
            assert proxy.reload().returncode == 0
            assert all(client.ask("GET", "/still").status == 200 for client in clients)
            assert not is_served(proxy.port)
        del proxy.config["limits"]
        assert proxy.reload().returncode == 0
        assert is_served(proxy.port)


def test_a_bound_that_comes_with_a_reload(origin: Origin) -> None:
    """Connections of before it are not known, those of after it are counted."""
    config: Config = reverse([origin.address])
    with Proxy(config) as proxy, held(proxy.port, 3):
        proxy.config["limits"] = {"connections_per_client": 2}
        assert proxy.reload().returncode == 0
        assert fetch(proxy.port, source=OTHER).status == 200
        with held(proxy.port, 2, OTHER):
            assert not is_served(proxy.port, OTHER)
