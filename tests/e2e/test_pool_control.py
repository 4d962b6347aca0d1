"""`reviver pool`: servers are shown, drained, added and removed while the proxy runs; nobody else notices."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.client import Client, fetch
from tests.support.fleet import Gate, Mortal, addresses, fleet, held_one_by_one, spread, with_gates
from tests.support.load import Load
from tests.support.origin import Exchange, responds
from tests.support.pools import HEALTH, change, notes, pool, servers, states, wait_in_flight, wait_states, wait_waiting
from tests.support.proxy import Config, Proxy, reverse
from tests.support.wait import until, wait_for


@pytest.fixture
def three() -> Iterator[list[Mortal]]:
    with fleet(3) as three:
        yield three


@pytest.fixture
def proxy(three: list[Mortal]) -> Iterator[Proxy]:
    """Knows the first two of them."""
    with Proxy(reverse(addresses(three[:2]))) as proxy:
        yield proxy


# -- status


def test_status_as_json(three: list[Mortal]) -> None:
    tree: list[Config] = [
        {"address": three[0].address, "weight": 3, "max_connections": 50},
        {"address": three[1].address, "backup": True},
    ]
    pools: Config = {"other": {"servers": [three[2].address], "balance": "least_requests"}}
    three[0].default = responds(500)
    with Proxy(reverse(tree, pools=pools, pool={"outlier": {"consecutive_errors": 100}})) as proxy:
        spread(proxy.port, 12)
        wait_in_flight(proxy, 0, 0)
        row = pool(proxy)
        assert (row["name"], row["balance"], row["panic"], row["waiting"]) == ("all", "round_robin", False, 0)
        first, second = row["servers"]
        expected = {
            "address": three[0].address,
            "state": "up",
            "weight": 3,
            "backup": False,
            "max_connections": 50,
            "in_flight": 0,
            "requests": 12,
            "errors": 12,
            "ejections": 0,
            "ejected_ms": None,
            "check": None,
        }
        assert {key: first[key] for key in expected} == expected
        assert first["latency_ms"] > 0
        assert (second["backup"], second["requests"], second["latency_ms"]) == (True, 0, None)
        both = json.loads(proxy.cli("pool", "status", "--json").stdout)["pools"]
        assert [(one["name"], one["balance"]) for one in both] == [("other", "least_requests"), ("all", "round_robin")]


def test_status_for_people(three: list[Mortal]) -> None:
    with Proxy(reverse(addresses(three), pool={"health": HEALTH, "balance": "power_of_two"})) as proxy:
        three[1].on("/healthz", responds(503))
        wait_states(proxy, "up", "down", "up")
        change(proxy, "drain", "all", three[2].address)
        done = proxy.cli("pool", "status")
        assert done.returncode == 0, done.stderr
        assert "power_of_two" in done.stdout
        for server, state in zip(three, ("up", "down", "draining"), strict=True):
            (line,) = (line for line in done.stdout.splitlines() if server.address in line)
            assert state in line
        assert "503" in done.stdout, "why it is down"


# -- drain and restore


def test_drain_and_restore(proxy: Proxy, three: list[Mortal]) -> None:
    answer = change(proxy, "drain", "all", three[0].address)
    assert (answer["pool"], answer["server"], answer["state"]) == ("all", three[0].address, "draining")
    assert states(proxy) == ["draining", "up"]
    assert spread(proxy.port, 20) == {"b": 20}
    change(proxy, "restore", "all", three[0].address)
    assert states(proxy) == ["up", "up"]
    assert spread(proxy.port, 20) == {"a": 10, "b": 10}


def test_what_a_drained_server_has_begun_goes_on(proxy: Proxy, three: list[Mortal]) -> None:
    gates = with_gates(three[:2])
    with ExitStack() as stack:
        held = held_one_by_one(stack, proxy.port, gates, 2)
        change(proxy, "drain", "all", three[0].address)
        assert [row["in_flight"] for row in servers(proxy).values()] == [1, 1]
        for gate in gates:
            gate.open()
        assert {client.response().status for client in held} == {200}
        wait_in_flight(proxy, 0, 0)


def test_draining_is_said_once(proxy: Proxy, three: list[Mortal]) -> None:
    for _ in range(3):
        change(proxy, "drain", "all", three[0].address)
    for _ in range(3):
        change(proxy, "restore", "all", three[0].address)
    until(lambda: len(notes(proxy, three[0].address)) >= 2, "lines")
    change(proxy, "drain", "all", three[1].address)
    until(lambda: notes(proxy, three[1].address), "the line of the other")
    assert len(notes(proxy, three[0].address)) == 2


def test_all_drained(proxy: Proxy, three: list[Mortal]) -> None:
    for server in three[:2]:
        change(proxy, "drain", "all", server.address)
    response = fetch(proxy.port)
    assert response.status == 503
    assert response.fields.get("Retry-After")
    change(proxy, "restore", "all", three[1].address)
    assert spread(proxy.port, 4) == {"b": 4}


# -- add and remove


def test_add_and_remove(proxy: Proxy, three: list[Mortal]) -> None:
    answer = change(proxy, "add", "all", three[2].address)
    assert (answer["pool"], answer["server"]) == ("all", three[2].address)
    assert spread(proxy.port, 30) == {"a": 10, "b": 10, "c": 10}
    change(proxy, "remove", "all", three[0].address)
    assert spread(proxy.port, 20) == {"b": 10, "c": 10}
    assert list(servers(proxy)) == [three[1].address, three[2].address]


def test_add_with_a_weight_and_as_a_backup(proxy: Proxy, three: list[Mortal]) -> None:
    change(proxy, "add", "all", three[2].address, "--weight", "2")
    assert spread(proxy.port, 40) == {"a": 10, "b": 10, "c": 20}
    change(proxy, "remove", "all", three[2].address)
    change(proxy, "add", "all", three[2].address, "--backup")
    assert servers(proxy)[three[2].address]["backup"]
    assert spread(proxy.port, 20) == {"a": 10, "b": 10}
    for server in three[:2]:
        change(proxy, "drain", "all", server.address)
    assert spread(proxy.port, 10) == {"c": 10}


def test_one_that_is_added_is_checked_first(three: list[Mortal]) -> None:
    """The same health checks hold for it."""
    three[2].on("/healthz", responds(503))
    with Proxy(reverse(addresses(three[:2]), pool={"health": HEALTH})) as proxy:
        change(proxy, "add", "all", three[2].address)
        wait_states(proxy, "up", "up", "down")
        assert spread(proxy.port, 20) == {"a": 10, "b": 10}
        del three[2].handlers["/healthz"]
        wait_states(proxy, "up", "up", "up")


def test_other_streams_are_untouched(proxy: Proxy, three: list[Mortal]) -> None:
    """A download and an upload go on while their pool changes, also those of the server that is removed."""
    go, size = threading.Event(), 4 << 20

    def large(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size // 2))
        wait_for(go, "the test", 60)
        exchange.send(bytes(size // 2))

    for server in three:
        server.on("/large", large)
    with Client(proxy.port) as download, Client(proxy.port) as upload:
        download.request("GET", "/large")
        head = download.head()
        upload.request("POST", "/upload", [("Content-Length", "10")])
        upload.send(b"hello")
        until(lambda: any(server.seen("/upload") for server in three), "the upload to begin")
        serials = [server.connections for server in three]
        change(proxy, "add", "all", three[2].address)
        change(proxy, "remove", "all", three[0].address)
        change(proxy, "drain", "all", three[1].address)
        assert spread(proxy.port, 4) == {"c": 4}
        assert [server.connections for server in three[:2]] == serials[:2]
        go.set()
        download.read_body(head)
        assert len(head.body) == size
        upload.send(b"world")
        assert upload.response().status == 200


def test_nobody_fails_while_servers_come_and_go(proxy: Proxy, three: list[Mortal]) -> None:
    with Load(proxy.port, threads=6) as load:
        for _ in range(6):
            change(proxy, "add", "all", three[2].address)
            load.wait_more(60)
            change(proxy, "drain", "all", three[0].address)
            change(proxy, "restore", "all", three[0].address)
            change(proxy, "remove", "all", three[2].address)
            load.wait_more(60)
        assert set(load.outcomes) == {200}
        assert load.by["c"]


def test_a_new_server_is_used_while_others_wait(three: list[Mortal]) -> None:
    """Those who wait for the old ones do not keep anybody from it."""
    gates = with_gates(three)
    with (
        ExitStack() as stack,
        Proxy(reverse(addresses(three[:1], max_connections=1), pool={"queue": {"timeout": "60s"}})) as proxy,
    ):
        held_one_by_one(stack, proxy.port, gates, 1)
        waits, new = stack.enter_context(Client(proxy.port)), stack.enter_context(Client(proxy.port))
        waits.request("GET", "/waits")
        wait_waiting(proxy, 1)
        change(proxy, "add", "all", three[1].address)
        new.request("GET", "/new")
        gates[1].wait(1)
        for gate in gates:
            gate.open()
        assert {client.response().status for client in (waits, new)} == {200}


# -- mistakes


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["drain", "al", "{a}"], 1, ["al", "did you mean all"]),
        (["drain", "all", "127.0.0.11:1"], 1, ["127.0.0.11:1"]),
        (["restore", "all", "nobody.example:80"], 1, ["nobody.example:80", "{a}"]),
        (["status", "zzz"], 1, ["zzz", "all"]),
        (["add", "all", "{a}"], 1, ["{a}", "already"]),
        (["add", "zzz", "127.0.0.1:80"], 1, ["zzz"]),
        (["add", "all", "no port"], 1, ["no port"]),
        (["add", "all", "127.0.0.1:99999"], 1, ["127.0.0.1:99999"]),
        (["remove", "all", "127.0.0.1:1"], 1, ["127.0.0.1:1"]),
        (["drain", "all"], 2, ["SERVER"]),
        (["drian", "all", "{a}"], 2, ["drian"]),
        (["add", "all", "127.0.0.1:80", "--weight", "many"], 2, ["weight", "many"]),
    ],
)
def test_mistakes(proxy: Proxy, three: list[Mortal], arguments: list[str], code: int, words: list[str]) -> None:
    before = servers(proxy)
    done = proxy.cli("pool", *(word.format(a=three[0].address) for word in arguments))
    assert done.returncode == code, done.stderr
    for word in words:
        assert word.format(a=three[0].address) in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) <= 4
    assert "Traceback" not in done.stderr
    assert servers(proxy).keys() == before.keys()
    assert states(proxy) == ["up", "up"]


def test_the_last_server_stays(three: list[Mortal]) -> None:
    with Proxy(reverse(addresses(three[:1]))) as proxy:
        done = proxy.cli("pool", "remove", "all", three[0].address)
        assert done.returncode == 1
        assert three[0].address in done.stderr
        assert spread(proxy.port, 2) == {"a": 2}


def test_without_a_proxy(tmp_path: object) -> None:
    from tests.support.proxy import cli

    for arguments in (["status"], ["drain", "all", "127.0.0.1:1"], ["add", "all", "127.0.0.1:1"]):
        done = cli("pool", *arguments, "--socket", f"{tmp_path}/nothing.sock")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr


# -- over reloads and restarts


def test_counts_and_changes_outlive_a_reload(three: list[Mortal]) -> None:
    """What is in flight is still counted against the bound, the drained one stays drained, the added one stays."""
    gates = [Gate(server.name_yourself) for server in three]
    for server, gate in zip(three, gates, strict=True):
        server.on("/held", gate)
    config = reverse(addresses(three[:2], max_connections=1), pool={"queue": {"max": 10, "timeout": "60s"}})
    with ExitStack() as stack, Proxy(config) as proxy:
        change(proxy, "drain", "all", three[1].address)
        held = stack.enter_context(Client(proxy.port))
        held.request("GET", "/held")
        gates[0].wait(1)
        proxy.config["limits"] = {"head": "16KiB"}
        assert proxy.reload().returncode == 0
        assert states(proxy) == ["draining" if number else "up" for number in range(2)]
        wait_in_flight(proxy, 1, 0)
        waits = stack.enter_context(Client(proxy.port))
        waits.request("GET", "/waits")
        wait_waiting(proxy, 1)
        assert not three[0].seen("/waits")
        change(proxy, "add", "all", three[2].address)
        assert spread(proxy.port, 2) == {"c": 2}
        proxy.config["limits"] = {"head": "17KiB"}
        assert proxy.reload().returncode == 0
        assert list(servers(proxy)) == [server.address for server in three]
        wait_in_flight(proxy, 1, 0, 0)
        gates[0].open()
        assert {client.response().status for client in (held, waits)} == {200}
        wait_in_flight(proxy, 0, 0, 0)


@pytest.mark.parametrize("kill", [False, True])
def test_changes_outlive_a_restart(proxy: Proxy, three: list[Mortal], kill: bool) -> None:
    change(proxy, "add", "all", three[2].address, "--weight", "2")
    change(proxy, "drain", "all", three[0].address)
    proxy.restart(kill=kill)
    assert states(proxy) == ["draining", "up", "up"]
    assert spread(proxy.port, 30) == {"b": 10, "c": 20}
    change(proxy, "restore", "all", three[0].address)
    change(proxy, "remove", "all", three[2].address)
    proxy.restart(kill=kill)
    assert spread(proxy.port, 20) == {"a": 10, "b": 10}


def test_what_the_configuration_says_later_wins(proxy: Proxy, three: list[Mortal]) -> None:
    """One that was added and then is written down is as it is written."""
    change(proxy, "add", "all", three[2].address, "--weight", "7")
    proxy.config["reverse"]["pools"]["all"]["servers"] = addresses(three)
    assert proxy.reload().returncode == 0
    assert spread(proxy.port, 30) == {"a": 10, "b": 10, "c": 10}
    change(proxy, "remove", "all", three[0].address)
    proxy.config["reverse"]["pools"]["all"]["servers"] = addresses(three[1:])
    assert proxy.reload().returncode == 0
    assert Counter(states(proxy)) == {"up": 2}
