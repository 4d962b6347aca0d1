"""Servers that are found while the program runs: each source before live servers, under load, over reloads and
restarts."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client, fetch
from tests.support.docker import Docker
from tests.support.fleet import spread
from tests.support.load import Load
from tests.support.origin import Exchange, Origin, responds
from tests.support.pools import change, notes, pool, servers, wait_note
from tests.support.proxy import Config, Proxy, cli, free_port, reverse
from tests.support.wait import until, wait_for
from tests.support.zone import Zone

NAME = "app.internal"


@pytest.fixture
def zone() -> Iterator[Zone]:
    with Zone() as zone:
        zone.set(NAME, "AAAA", ttl=0)
        yield zone


@pytest.fixture
def three() -> Iterator[list[Origin]]:
    """`a`, `b` and `c`: three addresses, one port."""
    port = free_port("127.0.0.11")
    with ExitStack() as stack:
        yield [
            stack.enter_context(Origin("abc"[number], host=f"127.0.0.{11 + number}", port=port)) for number in range(3)
        ]


def named(zone: Zone, *origins: Origin) -> None:
    """From now on these are the addresses of the name."""
    zone.set(NAME, "A", *(origin.address.partition(":")[0] for origin in origins), ttl=0)


def config(discover: Config, zone: Zone | None = None, *, written: Any = (), **pools: Config) -> Config:
    top: Any = {} if zone is None else {"resolver": zone.config}
    return reverse(written, pool={"discover": discover}, pools=pools, **top)


def by_dns(three: list[Origin], **keys: Any) -> Config:
    return {"dns": f"{NAME}:{three[0].port}", "min_ttl": "100ms", "max_ttl": "200ms", **keys}


def wait_servers(proxy: Proxy, *wanted: Origin, name: str = "all") -> None:
    addresses = [origin.address for origin in wanted]
    until(lambda: list(servers(proxy, name)) == addresses, f"{addresses}; {proxy.stderr}")


def epoch(proxy: Proxy) -> int:
    return int(proxy.status()["epoch"])


# -- sources


def test_the_addresses_of_a_name(zone: Zone, three: list[Origin]) -> None:
    named(zone, *three[:2])
    with Proxy(config(by_dns(three), zone)) as proxy:
        assert spread(proxy.port, 20) == {"a": 10, "b": 10}, "from the first request on"
        named(zone, *three[1:])
        wait_servers(proxy, *three[1:])
        assert spread(proxy.port, 20) == {"b": 10, "c": 10}
        assert wait_note(proxy, "gone").endswith(f"pool all: discovered {three[2].address}; gone {three[0].address}")
        assert not notes(proxy, "reload")


def test_the_records_of_a_service(zone: Zone, three: list[Origin]) -> None:
    service = "_http._tcp.app.internal"
    for origin in three:
        zone.set(f"{origin.name}.internal", "A", origin.address.partition(":")[0])
        zone.set(f"{origin.name}.internal", "AAAA")
    port = three[0].port
    records = [f"1 3 {port} a.internal.", f"1 1 {port} b.internal.", f"2 0 {port} c.internal."]
    zone.set(service, "SRV", *records, ttl=0)
    with Proxy(config({"srv": service, "min_ttl": "100ms"}, zone)) as proxy:
        assert spread(proxy.port, 20) == {"a": 15, "b": 5}
        assert [row["backup"] for row in servers(proxy).values()] == [False, False, True]
        zone.set(service, "SRV", records[2], ttl=0)
        until(lambda: list(servers(proxy)) == [f"c.internal:{port}"], "the others to go")
        assert spread(proxy.port, 4) == {"c": 4}


def test_a_file(three: list[Origin]) -> None:
    first, both = (json.dumps([origin.address for origin in three[:count]]) for count in (1, 2))
    with Proxy(config({"file": "servers.json"}), files={"servers.json": first}) as proxy:
        assert spread(proxy.port, 4) == {"a": 4}
        path = proxy.write("servers.json", both)
        wait_servers(proxy, *three[:2])
        proxy.write("part", json.dumps({"servers": [{"address": three[2].address, "weight": 3}]})).replace(path)
        wait_servers(proxy, three[2])
        assert spread(proxy.port, 4) == {"c": 4}
        path.write_text("[")
        wait_note(proxy, "discovery by file fails", "servers.json:1:")
        path.unlink()
        wait_note(proxy, "servers.json: there is no such file")
        assert spread(proxy.port, 4) == {"c": 4}
        proxy.write("servers.json", first)
        wait_servers(proxy, three[0])
        wait_note(proxy, "works again")


def test_a_web_service(three: list[Origin]) -> None:
    def tell(*origins: Origin) -> None:
        registry.default = responds(200, json.dumps([origin.address for origin in origins]).encode())

    with Origin("registry") as registry:
        tell(three[0])
        discover = {"http": f"http://{registry.address}/all", "every": "100ms", "headers": {"x-token": "${TOKEN}"}}
        with Proxy(config(discover), env={"TOKEN": "secret"}) as proxy:
            assert spread(proxy.port, 4) == {"a": 4}
            assert registry.seen("/all")[0].fields.get("x-token") == "secret"
            tell(*three[1:])
            wait_servers(proxy, *three[1:])
            registry.default = responds(500)
            wait_note(proxy, "discovery by http fails", "it answers 500")
            assert spread(proxy.port, 20) == {"b": 10, "c": 10}
            assert not notes(proxy, "secret")


def test_containers(three: list[Origin], tmp_path: Path) -> None:
    with Docker(tmp_path / "docker.sock") as daemon:
        daemon.run("one", three[0].address, pool="all", labels={"reviver.weight": "3"})
        daemon.run("other", three[1].address, pool="other")
        with Proxy(config({"docker": {"socket": str(daemon.path)}})) as proxy:
            assert spread(proxy.port, 4) == {"a": 4}
            daemon.run("two", three[2].address, pool="all", health="starting")
            daemon.turn("two", "healthy")
            wait_servers(proxy, three[0], three[2])
            assert spread(proxy.port, 20) == {"a": 15, "c": 5}
            daemon.turn("one", "unhealthy")
            wait_servers(proxy, three[2])
            daemon.stop("two")
            wait_note(proxy, "it finds no server")
            assert spread(proxy.port, 4) == {"c": 4}, "rather than none"


# -- nobody is disturbed


def test_nobody_fails_while_servers_come_and_go(zone: Zone, three: list[Origin]) -> None:
    named(zone, *three[:2])
    with Proxy(config(by_dns(three), zone)) as proxy, Load(proxy.port, threads=6) as load:
        for left in (three[1:], three[:1], three, three[2:], three[:2]):
            named(zone, *left)
            wait_servers(proxy, *left)
            names = {origin.name for origin in left}
            assert load.fresh(100).keys() == names
        assert set(load.outcomes) == {200}


def test_other_streams_are_untouched(zone: Zone, three: list[Origin]) -> None:
    """A download of another pool and one of a server that is gone go on, over the connections that they have."""
    go, size = threading.Event(), 4 << 20

    def large(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size // 2))
        wait_for(go, "the test", 60)
        exchange.send(bytes(size // 2))

    named(zone, three[0])
    for origin in three:
        origin.on("/large", large)
    routes = [{"match": {"header": {"x-pool": "other"}}, "pool": "other"}, {"match": {"path": "/*"}, "pool": "all"}]
    tree = config(by_dns(three), zone, other={"servers": [three[2].address]})
    tree["reverse"]["routes"] = routes
    with Proxy(tree) as proxy, Client(proxy.port) as gone, Client(proxy.port) as other:
        gone.request("GET", "/large")
        other.request("GET", "/large", [("X-Pool", "other")])
        heads = [gone.head(), other.head()]
        kept = fetch(proxy.port, "/kept", [("X-Pool", "other")])
        assert kept.fields.get("X-Origin") == "c"
        connections = three[2].connections
        named(zone, three[1])
        wait_servers(proxy, three[1])
        assert spread(proxy.port, 4) == {"b": 4}
        assert spread(proxy.port, 8, fields=[("X-Pool", "other")]) == {"c": 8}
        assert three[2].connections <= connections + 1, "kept connections of other pools are kept, on each worker"
        go.set()
        for client, head in zip((gone, other), heads, strict=True):
            client.read_body(head)
            assert len(head.body) == size
        assert three[0].connections == 1


def test_a_reload_that_brings_discovery_drops_nothing(zone: Zone, three: list[Origin]) -> None:
    named(zone, *three[1:])
    with Proxy(reverse([three[0].address], resolver=zone.config)) as proxy, Load(proxy.port, threads=4) as load:
        load.wait_more(50)
        proxy.config["reverse"]["pools"]["all"] = {"discover": by_dns(three)}
        assert proxy.reload().returncode == 0
        assert load.fresh(50).keys() == {"b", "c"}
        proxy.config["reverse"]["pools"]["all"] = {"servers": [three[0].address]}
        assert proxy.reload().returncode == 0
        assert load.fresh(50).keys() == {"a"}
        assert set(load.outcomes) == {200}


# -- what is known when nothing is heard


def test_a_bad_answer_keeps_the_last_one(zone: Zone, three: list[Origin]) -> None:
    named(zone, *three)
    with Proxy(config(by_dns(three, min_servers=2), zone)) as proxy:
        wait_servers(proxy, *three)
        before = epoch(proxy)
        named(zone, three[0])
        wait_note(proxy, "it finds 1 server, and min_servers is 2")
        zone.remove(NAME)
        zone.wait_asked_anew(NAME)
        assert spread(proxy.port, 30) == {"a": 10, "b": 10, "c": 10}
        assert epoch(proxy) == before
        assert pool(proxy)["failing"]
        zone.set(NAME, "AAAA", ttl=0)
        named(zone, *three[:2])
        wait_servers(proxy, *three[:2])
        wait_note(proxy, "works again")
        assert len(notes(proxy, "fails")) == 1


@pytest.mark.parametrize("kill", [False, True])
def test_a_restart_uses_the_last_known_servers(zone: Zone, three: list[Origin], kill: bool) -> None:
    named(zone, *three[:2])
    with Proxy(config(by_dns(three, timeout="300ms"), zone, written=[three[2].address])) as proxy:
        assert spread(proxy.port, 4) == {"a": 2, "b": 2}
        for family in ("A", "AAAA"):
            zone.trouble(NAME, family, "silence")
        proxy.restart(kill=kill)
        assert spread(proxy.port, 4) == {"a": 2, "b": 2}
        wait_note(proxy, "discovery by dns fails", "no answer within")
        for family in ("A", "AAAA"):
            zone.trouble(NAME, family, None)
        named(zone, three[1])
        wait_servers(proxy, three[1])


def test_without_any_answer_the_written_servers_are_used(zone: Zone, three: list[Origin]) -> None:
    zone.remove(NAME)
    with Proxy(config(by_dns(three), zone, written=[three[2].address])) as proxy:
        assert spread(proxy.port, 4) == {"c": 4}
        named(zone, three[0])
        wait_servers(proxy, three[0])
        assert spread(proxy.port, 4) == {"a": 4}


@pytest.mark.parametrize("balance", ["round_robin", "power_of_two", "hash", "maglev", "first"])
def test_a_pool_without_servers_answers_503_at_once(zone: Zone, three: list[Origin], balance: str) -> None:
    zone.remove(NAME)
    tree = config(by_dns(three), zone)
    tree["reverse"]["pools"]["all"]["balance"] = balance
    with Proxy(tree) as proxy:
        response = fetch(proxy.port, "/none")
        assert response.status == 503
        assert response.fields.get("Retry-After")
        assert "no_server" in str(proxy.record("/none")["reason"])
        assert servers(proxy) == {}
        named(zone, three[0])
        wait_servers(proxy, three[0])
        assert spread(proxy.port, 4) == {"a": 4}


def test_all_servers_may_go_where_that_is_written(zone: Zone, three: list[Origin]) -> None:
    named(zone, three[0])
    with Proxy(config(by_dns(three, min_servers=0), zone)) as proxy:
        assert spread(proxy.port, 2) == {"a": 2}
        zone.remove(NAME)
        wait_servers(proxy)
        assert fetch(proxy.port).status == 503
        assert not notes(proxy, "fails")


# -- beside all else that a pool has


def test_people_add_and_remove_on_top(zone: Zone, three: list[Origin]) -> None:
    named(zone, *three[:2])
    with Proxy(config(by_dns(three), zone)) as proxy:
        change(proxy, "add", "all", three[2].address)
        change(proxy, "remove", "all", three[0].address)
        assert spread(proxy.port, 4) == {"b": 2, "c": 2}
        named(zone, three[0])
        until(lambda: list(servers(proxy)) == [three[2].address], "b to go")
        named(zone, *three[:2])
        wait_servers(proxy, three[1], three[2])
        assert [row["source"] for row in servers(proxy).values()] == ["discovery", "command"]
        proxy.restart()
        wait_servers(proxy, three[1], three[2])


def test_what_is_found_is_checked(zone: Zone, three: list[Origin]) -> None:
    named(zone, three[0])
    three[1].on("/healthz", responds(503))
    tree = config(by_dns(three), zone)
    tree["reverse"]["pools"]["all"]["health"] = {"path": "/healthz", "every": "200ms", "rise": 1, "fall": 1}
    with Proxy(tree) as proxy:
        named(zone, *three[:2])
        wait_servers(proxy, *three[:2])
        until(lambda: servers(proxy)[three[1].address]["state"] == "down", "b to be found sick")
        assert spread(proxy.port, 10) == {"a": 10}


def test_found_servers_have_a_bound(zone: Zone, three: list[Origin]) -> None:
    named(zone, three[0])
    with Proxy(config(by_dns(three, max_connections=7), zone)) as proxy:
        assert servers(proxy)[three[0].address]["max_connections"] == 7


# -- without a proxy


def test_check_looks_nothing_up(tmp_path: Path) -> None:
    with Zone() as zone:
        path = tmp_path / "r.json"
        discover = {"dns": "app.internal:80", "timeout": "1h"}
        path.write_text(json.dumps(config(discover, zone)))
        done = cli("check", path)
        assert done.returncode == 0, done.stderr
        assert zone.questions == []
    path.write_text(json.dumps(config({"file": "missing.json"})))
    assert cli("check", path).returncode == 0
    path.write_text(json.dumps(config({"dns": "app.internal:80", "http": "http://registry/"})))
    done = cli("check", path)
    assert done.returncode == 2
    assert "has dns and http, where one is needed" in done.stderr
