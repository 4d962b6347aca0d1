"""Servers that are found, in a whole proxy on the engine's stand-in."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reviver.control import client
from tests.support.docker import Docker
from tests.support.origin import Origin, responds
from tests.support.wait import until
from tests.support.zone import Zone
from tests.unit.control.test_serve import Process, running

NAME = "app.internal"


@pytest.fixture
def zone() -> Iterator[Zone]:
    with Zone() as zone:
        zone.set(NAME, "A", "10.0.0.1", "10.0.0.2", ttl=0)
        zone.set(NAME, "AAAA", ttl=0)
        yield zone


def text(zone: Zone, *, comment: str = "", **pools: Any) -> str:
    routes = [{"match": {"path": f"/{name}"}, "pool": name} for name in pools]
    tree = {
        "listeners": {"web": {"bind": "127.0.0.1:18080", "role": "reverse"}},
        "resolver": zone.config,
        "reverse": {"routes": routes, "pools": pools},
        "control": {"socket": "c.sock"},
        "logs": [],
    }
    return f"# {comment}\n{json.dumps(tree, indent=1)}\n"


def dns(**keys: Any) -> dict[str, Any]:
    """A pool that is looked up again and again."""
    return {"discover": {"dns": f"{NAME}:80", "min_ttl": "100ms", "max_ttl": "200ms", **keys}}


@contextmanager
def serving(folder: Path, written: str, **wishes: Any) -> Iterator[Process]:
    (folder / "r.yaml").write_text(written)
    with running(folder, env={"STATE_DIRECTORY": str(folder / "state")}, **wishes) as proxy:
        yield proxy


def reload(proxy: Process, written: str) -> dict[str, Any]:
    proxy.file.write_text(written)
    return client.ask(proxy.socket, "reload")


def pool(proxy: Process, name: str = "api") -> dict[str, Any]:
    [found] = client.ask(proxy.socket, "pool.status", request={"pool": name})["pools"]
    return found  # type: ignore[no-any-return]


def servers(proxy: Process, name: str = "api") -> list[str]:
    return [server["address"] for server in pool(proxy, name)["servers"]]


def wait_servers(proxy: Process, *wanted: str, name: str = "api") -> None:
    until(lambda: servers(proxy, name) == list(wanted), f"{wanted} in {proxy.said}")


def lines(proxy: Process, name: str = "api") -> list[str]:
    """What was told of a pool."""
    return [line.removeprefix(f"reviver: pool {name}: ") for line in proxy.said.splitlines() if f"pool {name}" in line]


def epoch(proxy: Process) -> int:
    return int(client.ask(proxy.socket, "status")["epoch"])


def test_the_first_look_comes_before_the_first_connection(tmp_path: Path, zone: Zone) -> None:
    with serving(tmp_path, text(zone, api=dns())) as proxy:
        assert proxy.calls.index("apply") < next(i for i, call in enumerate(proxy.calls) if call.startswith("start"))
        assert servers(proxy) == ["10.0.0.1:80", "10.0.0.2:80"]
        assert lines(proxy) == ["discovered 10.0.0.1:80, 10.0.0.2:80"]


def test_each_change_is_one_line_and_no_reload(tmp_path: Path, zone: Zone) -> None:
    with serving(tmp_path, text(zone, api=dns(), web={"servers": ["127.0.0.1:9"]})) as proxy:
        before = epoch(proxy)
        zone.set(NAME, "A", "10.0.0.2", "10.0.0.3", ttl=0)
        proxy.wait_said("gone")
        assert servers(proxy) == ["10.0.0.2:80", "10.0.0.3:80"]
        assert servers(proxy, "web") == ["127.0.0.1:9"]
        zone.wait_asked_anew(NAME)
        assert lines(proxy) == [
            "discovered 10.0.0.1:80, 10.0.0.2:80",
            "discovered 10.0.0.3:80; gone 10.0.0.1:80",
        ]
        assert "reload" not in proxy.said
        assert epoch(proxy) == before + 1


def test_the_status_says_where_servers_come_from(tmp_path: Path, zone: Zone) -> None:
    with serving(tmp_path, text(zone, api=dns(), web={"servers": ["127.0.0.1:9"]})) as proxy:
        client.ask(proxy.socket, "pool.add", request={"pool": "api", "address": "10.0.0.9:80"})
        api, web = pool(proxy), pool(proxy, "web")
        assert (api["from"], api["failing"]) == ("dns", None)
        assert (web["from"], web["failing"]) == ("configuration", None)
        assert [server["source"] for server in api["servers"]] == ["discovery", "discovery", "command"]
        assert [server["source"] for server in web["servers"]] == ["configuration"]
        zone.remove(NAME)
        until(lambda: pool(proxy)["failing"], "it to fail")
        assert pool(proxy)["failing"] == ("it finds no server, and min_servers is 1: there is no name app.internal")


def test_a_bad_answer_changes_nothing_and_is_told_once(tmp_path: Path, zone: Zone) -> None:
    with serving(tmp_path, text(zone, api=dns())) as proxy:
        zone.trouble(NAME, "A", "SERVFAIL")
        zone.trouble(NAME, "AAAA", "SERVFAIL")
        proxy.wait_said("fails")
        zone.wait_asked_anew(NAME)
        zone.trouble(NAME, "A", None)
        proxy.wait_said("works again")
        assert servers(proxy) == ["10.0.0.1:80", "10.0.0.2:80"]
        reason = f"app.internal A: 127.0.0.1:{zone.port}: SERVFAIL"
        assert lines(proxy)[1:] == [
            f"discovery by dns fails, and servers stay as they are: {reason}",
            "discovery by dns works again",
        ]


def test_the_last_known_servers_outlive_the_process(tmp_path: Path, zone: Zone) -> None:
    written = text(zone, api={**dns(timeout="300ms"), "servers": ["127.0.0.1:9"]})
    with serving(tmp_path, written):
        pass
    zone.trouble(NAME, "A", "silence")
    zone.trouble(NAME, "AAAA", "silence")
    with serving(tmp_path, written) as proxy:
        assert servers(proxy) == ["10.0.0.1:80", "10.0.0.2:80"]
        assert "discovered" not in proxy.said
        zone.trouble(NAME, "A", None)
        zone.set(NAME, "A", "10.0.0.3", ttl=0)
        wait_servers(proxy, "10.0.0.3:80")


def test_what_was_found_elsewhere_is_not_known_of_here(tmp_path: Path, zone: Zone) -> None:
    with serving(tmp_path, text(zone, api=dns())):
        pass
    zone.set("other.internal", "TXT", '"nothing"', ttl=0)
    other = {"discover": {"dns": "other.internal:80"}, "servers": ["127.0.0.1:9"]}
    with serving(tmp_path, text(zone, api=other)) as proxy:
        assert servers(proxy) == ["127.0.0.1:9"]
    with serving(tmp_path, text(zone, api={"servers": ["127.0.0.1:8"]})) as proxy:
        assert servers(proxy) == ["127.0.0.1:8"]


def test_without_any_answer_a_pool_has_the_written_servers_or_none(tmp_path: Path, zone: Zone) -> None:
    zone.remove(NAME)
    pools: dict[str, Any] = {"api": dns(), "web": {**dns(), "servers": ["127.0.0.1:9"]}}
    with serving(tmp_path, text(zone, **pools)) as proxy:
        assert servers(proxy) == []
        assert servers(proxy, "web") == ["127.0.0.1:9"]
        zone.set(NAME, "A", "10.0.0.1", ttl=0)
        wait_servers(proxy, "10.0.0.1:80")
        wait_servers(proxy, "10.0.0.1:80", name="web")
        assert lines(proxy, "web")[1] == "discovered 10.0.0.1:80; gone 127.0.0.1:9"


def test_people_change_what_is_found(tmp_path: Path, zone: Zone) -> None:
    with serving(tmp_path, text(zone, api=dns())) as proxy:
        client.ask(proxy.socket, "pool.add", request={"pool": "api", "address": "10.0.0.9:80"})
        client.ask(proxy.socket, "pool.remove", request={"pool": "api", "server": "10.0.0.1:80"})
        client.ask(proxy.socket, "pool.drain", request={"pool": "api", "server": "10.0.0.2:80"})
        zone.set(NAME, "A", "10.0.0.1", "10.0.0.2", "10.0.0.3", ttl=0)
        wait_servers(proxy, "10.0.0.2:80", "10.0.0.3:80", "10.0.0.9:80")
        assert [server["state"] for server in pool(proxy)["servers"]] == ["draining", "up", "up"]
        client.ask(proxy.socket, "reload")
    with serving(tmp_path, text(zone, api=dns())) as proxy:
        assert servers(proxy) == ["10.0.0.2:80", "10.0.0.3:80", "10.0.0.9:80"]
        assert [server["state"] for server in pool(proxy)["servers"]] == ["draining", "up", "up"]


def test_one_that_was_drained_and_is_gone_is_another_one_when_it_comes(tmp_path: Path, zone: Zone) -> None:
    with serving(tmp_path, text(zone, api=dns())) as proxy:
        client.ask(proxy.socket, "pool.drain", request={"pool": "api", "server": "10.0.0.2:80"})
        zone.set(NAME, "A", "10.0.0.1", ttl=0)
        wait_servers(proxy, "10.0.0.1:80")
        [state] = tmp_path.glob("state/proxies/*/state.json")
        until(lambda: json.loads(state.read_text())["drained"] == {}, "it to be forgotten")


# -- reloads


def test_a_reload_leaves_sources_alone_that_are_the_same(tmp_path: Path, zone: Zone) -> None:
    quiet = dns(min_ttl="1h", max_ttl="1h")
    with serving(tmp_path, text(zone, api=quiet)) as proxy:
        done = reload(proxy, text(zone, comment="a line\n# more", api=quiet, web={"servers": ["127.0.0.1:9"]}))
        assert done["changed"]
        assert servers(proxy) == ["10.0.0.1:80", "10.0.0.2:80"]
        assert zone.asked(NAME) == 1
        assert lines(proxy) == ["discovered 10.0.0.1:80, 10.0.0.2:80"]


def test_a_pool_that_a_reload_brings_has_servers_when_it_takes_effect(tmp_path: Path, zone: Zone) -> None:
    with serving(tmp_path, text(zone, web={"servers": ["127.0.0.1:9"]})) as proxy:
        applied = proxy.calls.count("apply")
        reload(proxy, text(zone, web={"servers": ["127.0.0.1:9"]}, api=dns()))
        assert proxy.calls.count("apply") == applied + 1, "with its servers, in one step"
        assert servers(proxy) == ["10.0.0.1:80", "10.0.0.2:80"]
        zone.set(NAME, "A", "10.0.0.3", ttl=0)
        wait_servers(proxy, "10.0.0.3:80")


def test_servers_that_are_written_no_longer_stay_until_others_are_found(tmp_path: Path, zone: Zone) -> None:
    zone.trouble(NAME, "A", "SERVFAIL")
    zone.trouble(NAME, "AAAA", "SERVFAIL")
    with serving(tmp_path, text(zone, api={"servers": ["127.0.0.1:9"]})) as proxy:
        reload(proxy, text(zone, api=dns()))
        assert servers(proxy) == ["127.0.0.1:9"]
        zone.trouble(NAME, "A", None)
        wait_servers(proxy, "10.0.0.1:80", "10.0.0.2:80")
        proxy.wait_said("works again")
        assert lines(proxy)[-2:] == [
            "discovered 10.0.0.1:80, 10.0.0.2:80; gone 127.0.0.1:9",
            "discovery by dns works again",
        ]


def test_a_reload_looks_elsewhere(tmp_path: Path, zone: Zone) -> None:
    (tmp_path / "servers.json").write_text('["127.0.0.1:1"]')
    with serving(tmp_path, text(zone, api=dns())) as proxy:
        reload(proxy, text(zone, api={"discover": {"file": "servers.json"}}))
        assert servers(proxy) == ["127.0.0.1:1"]
        assert pool(proxy)["from"] == "file"
        assert lines(proxy)[-1] == "discovered 127.0.0.1:1; gone 10.0.0.1:80, 10.0.0.2:80"
        # nobody asks by DNS any more
        asked = zone.asked(NAME)
        (tmp_path / "servers.json").write_text('["127.0.0.1:2"]')
        wait_servers(proxy, "127.0.0.1:2")
        assert zone.asked(NAME) == asked


def test_a_reload_ends_discovery(tmp_path: Path, zone: Zone) -> None:
    with serving(tmp_path, text(zone, api=dns())) as proxy:
        reload(proxy, text(zone, api={"servers": ["127.0.0.1:9"]}))
        assert servers(proxy) == ["127.0.0.1:9"]
        assert pool(proxy)["from"] == "configuration"
        assert not list(tmp_path.glob("state/proxies/*/state.json"))


def test_a_reload_that_fails_starts_nothing(tmp_path: Path, zone: Zone) -> None:
    with serving(tmp_path, text(zone, web={"servers": ["127.0.0.1:9"]}), refuse_apply="no more memory") as proxy:
        with pytest.raises(client.RefusedError, match="no more memory"):
            reload(proxy, text(zone, web={"servers": ["127.0.0.1:9"]}, api=dns()))
        asked = zone.asked(NAME)
        assert asked
        with pytest.raises(client.RefusedError, match="there is no pool api"):
            pool(proxy)
        assert "discovered" not in proxy.said
        client.ask(proxy.socket, "status")
        assert zone.asked(NAME) == asked


def test_another_name_server_is_asked_after_a_reload(tmp_path: Path, zone: Zone) -> None:
    with Zone() as other, serving(tmp_path, text(zone, api=dns())) as proxy:
        other.set(NAME, "A", "10.0.0.8", ttl=0)
        reload(proxy, text(other, api=dns()))
        assert servers(proxy) == ["10.0.0.8:80"]


# -- the rest


def test_a_signal_ends_the_wait_for_a_first_answer(tmp_path: Path, zone: Zone) -> None:
    for family in ("A", "AAAA"):
        zone.trouble(NAME, family, "silence")
    (tmp_path / "r.yaml").write_text(text(zone, api=dns(timeout="1h")))
    proxy = Process(tmp_path, env={"STATE_DIRECTORY": str(tmp_path / "state")})
    try:
        zone.wait_asked(NAME, 1)
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.wait() == 0
        assert proxy.said.endswith("reviver: stopped\n")
    finally:
        proxy.process.kill()
        proxy.process.wait()


def test_a_reload_that_is_asked_for_meanwhile_comes_after_the_start(tmp_path: Path, zone: Zone) -> None:
    for family in ("A", "AAAA"):
        zone.trouble(NAME, family, "silence")
    (tmp_path / "r.yaml").write_text(text(zone, api=dns(timeout="1s")))
    proxy = Process(tmp_path, env={"STATE_DIRECTORY": str(tmp_path / "state")})
    try:
        zone.wait_asked(NAME, 1)
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_said("nothing has changed")
        lines = [line for line in proxy.said.splitlines() if "serves r.yaml" in line or "epoch" in line]
        assert len(lines) == 2 and "serves" in lines[0]
        assert any(call.startswith("start") for call in proxy.calls)
        proxy.process.terminate()
        assert proxy.wait() == 0
    finally:
        proxy.process.kill()
        proxy.process.wait()


def test_what_the_engine_refuses_is_a_failure(tmp_path: Path, zone: Zone) -> None:
    with serving(tmp_path, text(zone, api={**dns(), "servers": ["127.0.0.1:9"]}), refuse_apply="no memory") as proxy:
        assert servers(proxy) == ["127.0.0.1:9"]
        assert lines(proxy) == ["discovery by dns fails, and servers stay as they are: no memory"]


def test_a_pool_of_each_source(tmp_path: Path, zone: Zone) -> None:
    zone.set("_http._tcp.app.internal", "SRV", "0 5 81 a.internal.", "1 1 82 b.internal.", ttl=0)
    (tmp_path / "servers.yaml").write_text("[127.0.0.1:1]")
    with Docker(tmp_path / "d.sock") as daemon, Origin("registry", responds(200, b'["127.0.0.1:2"]')) as registry:
        daemon.run("one", "172.17.0.2:80", pool="docker")
        pools: dict[str, Any] = {
            "dns": dns(),
            "srv": {"discover": {"srv": "_http._tcp.app.internal"}},
            "file": {"discover": {"file": "servers.yaml"}},
            "http": {"discover": {"http": f"http://{registry.address}/", "every": "100ms"}},
            "docker": {"discover": {"docker": {"socket": "d.sock"}}},
        }
        with serving(tmp_path, text(zone, **pools)) as proxy:
            shown = {name: servers(proxy, name) for name in pools}
            assert shown == {
                "dns": ["10.0.0.1:80", "10.0.0.2:80"],
                "srv": ["a.internal:81", "b.internal:82"],
                "file": ["127.0.0.1:1"],
                "http": ["127.0.0.1:2"],
                "docker": ["172.17.0.2:80"],
            }
            assert [pool(proxy, name)["from"] for name in pools] == list(pools)
            registry.default = responds(200, b'["127.0.0.1:3"]')
            (tmp_path / "servers.yaml").write_text("[127.0.0.1:1, {address: 127.0.0.1:4, weight: 3}]")
            daemon.turn("one", "unhealthy")
            daemon.run("two", "172.17.0.3:80", pool="docker")
            wait_servers(proxy, "127.0.0.1:3", name="http")
            wait_servers(proxy, "127.0.0.1:1", "127.0.0.1:4", name="file")
            wait_servers(proxy, "172.17.0.3:80", name="docker")
            (tmp_path / "servers.yaml").write_text("[127.0.0.1:1, {address: 127.0.0.1:4, backup: true}]")
            until(lambda: "changed" in proxy.said, "the change of a weight to be told")
            assert lines(proxy, "file")[-1] == "changed 127.0.0.1:4 (weight 1, backup)"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_goes_on_as_another_user(tmp_path: Path, zone: Zone) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    with serving(tmp_path, text(zone, api=dns()).replace('"control"', '"user": "nobody", "control"')) as proxy:
        assert servers(proxy) == ["10.0.0.1:80", "10.0.0.2:80"]
        zone.set(NAME, "A", "10.0.0.3", ttl=0)
        wait_servers(proxy, "10.0.0.3:80")
        assert "will not outlive" not in proxy.said
