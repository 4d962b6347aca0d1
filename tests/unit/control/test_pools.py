"""Pools, splits and their state in a whole proxy on the engine's stand-in."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reviver.control import client, protocol
from tests.unit.control.test_serve import Process, running

CONFIGURATION = """
listeners:
  web: {bind: "127.0.0.1:18080", role: reverse}
reverse:
  routes:
    - {name: shop, match: {path: "/shop"}, split: shop}
    - {name: ab, match: {path: "/ab"}, split: ab}
    - {name: all, match: {path: "/*"}, pool: api}
  pools:
    api: {servers: ["127.0.0.1:1", {address: "127.0.0.1:2", weight: 3}], panic: 50%}
    v1: {servers: ["127.0.0.1:11"]}
    v2: {servers: ["127.0.0.1:12"]}
    v3: {servers: ["127.0.0.1:13"]}
  splits:
    shop: {stable: v1, canary: v2, weight: 5%}
    ab: {variants: {v1: 50, v2: 30, v3: 20}}
control: {socket: c.sock}
logs: []
"""


@contextmanager
def serving(folder: Path, text: str = CONFIGURATION, **wishes: Any) -> Iterator[Process]:
    (folder / "r.yaml").write_text(text)
    with running(folder, env={"STATE_DIRECTORY": str(folder / "state")}, **wishes) as proxy:
        yield proxy


def ask(proxy: Process, command: protocol.Command, **request: Any) -> dict[str, Any]:
    return client.ask(proxy.socket, command, request=request)


def refused(proxy: Process, command: protocol.Command, **request: Any) -> str:
    with pytest.raises(client.RefusedError) as raised:
        ask(proxy, command, **request)
    return str(raised.value)


def servers(proxy: Process, pool: str = "api") -> dict[str, dict[str, Any]]:
    [found] = ask(proxy, "pool.status", pool=pool)["pools"]
    return {server["address"]: server for server in found["servers"]}


def weights(proxy: Process, split: str) -> dict[str, int]:
    [found] = ask(proxy, "canary.status", split=split)["splits"]
    return {variant["name"]: variant["weight"] for variant in found["variants"]}


def states(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in folder.glob("state/proxies/*/state.json")]


def test_servers_come_and_go_without_a_reload(tmp_path: Path) -> None:
    with serving(tmp_path) as proxy:
        epoch = client.ask(proxy.socket, "status")["epoch"]
        done = ask(proxy, "pool.add", pool="api", address="127.0.0.1:3", weight=2, max_connections=7)
        assert done == {
            "pool": "api", "server": "127.0.0.1:3", "weight": 2, "backup": False, "max_connections": 7,
        }  # fmt: skip
        assert servers(proxy)["127.0.0.1:3"]["added"] is True
        assert ask(proxy, "pool.remove", pool="api", server="127.0.0.1:1") == {"pool": "api", "server": "127.0.0.1:1"}
        assert list(servers(proxy)) == ["127.0.0.1:2", "127.0.0.1:3"]
        assert ask(proxy, "pool.status", pool="api")["pools"][0]["removed"] == ["127.0.0.1:1"]
        assert client.ask(proxy.socket, "status")["epoch"] == epoch + 2
        assert "reviver: pool api: 127.0.0.1:3 was added\n" in proxy.said
        assert "reviver: pool api: 127.0.0.1:1 was removed\n" in proxy.said
        assert "reload" not in proxy.said


def test_a_reload_keeps_what_was_changed_until_the_configuration_says_it(tmp_path: Path) -> None:
    with serving(tmp_path) as proxy:
        ask(proxy, "pool.add", pool="api", address="127.0.0.1:3")
        ask(proxy, "pool.remove", pool="api", server="127.0.0.1:1")
        ask(proxy, "pool.drain", pool="api", server="127.0.0.1:2")
        client.ask(proxy.socket, "reload")
        assert list(servers(proxy)) == ["127.0.0.1:2", "127.0.0.1:3"]
        proxy.file.write_text(CONFIGURATION.replace('"127.0.0.1:1", {', '"127.0.0.1:3", {'))
        assert client.ask(proxy.socket, "reload")["notes"] == []
        assert servers(proxy)["127.0.0.1:3"]["added"] is False
        proxy.file.write_text(CONFIGURATION)
        client.ask(proxy.socket, "reload")
        assert list(servers(proxy)) == ["127.0.0.1:1", "127.0.0.1:2"]
        assert servers(proxy)["127.0.0.1:2"]["state"] == "draining"


def test_a_refused_plan_changes_no_servers(tmp_path: Path) -> None:
    with serving(tmp_path, refuse_apply="no more memory") as proxy:
        assert refused(proxy, "pool.add", pool="api", address="127.0.0.1:3") == "no more memory"
        assert list(servers(proxy)) == ["127.0.0.1:1", "127.0.0.1:2"]
        assert states(tmp_path) == []


def test_all_of_it_outlives_the_process(tmp_path: Path) -> None:
    with serving(tmp_path) as proxy:
        ask(proxy, "pool.add", pool="api", address="127.0.0.1:3")
        ask(proxy, "pool.drain", pool="api", server="127.0.0.1:3")
        ask(proxy, "canary.set", split="shop", weight=2500)
    with serving(tmp_path) as proxy:
        assert servers(proxy)["127.0.0.1:3"]["state"] == "draining"
        assert weights(proxy, "shop") == {"canary": 2500, "stable": 7500}
        start = next(index for index, call in enumerate(proxy.calls) if call.startswith("start"))
        assert "pool_drain api 127.0.0.1:3 True" in proxy.calls[:start], "before a connection is served"
        assert "split_set shop [2500, 7500]" in proxy.calls[:start]
        ask(proxy, "pool.remove", pool="api", server="127.0.0.1:3")
        ask(proxy, "canary.set", split="shop", weight=500)
        assert states(tmp_path) == [], "all is as it is written again"


def test_weights_by_hand_end_with_the_written_ones(tmp_path: Path) -> None:
    with serving(tmp_path) as proxy:
        ask(proxy, "canary.set", split="shop", weight=2500)
        ask(proxy, "canary.set", split="ab", weights={"v1": 10_000})
    with serving(tmp_path, CONFIGURATION.replace("weight: 5%", "weight: 6%")) as proxy:
        assert weights(proxy, "shop") == {"canary": 600, "stable": 9400}
        assert weights(proxy, "ab") == {"v1": 10_000, "v2": 0, "v3": 0}


def test_another_canary_does_not_inherit_the_weight_of_the_last_one(tmp_path: Path) -> None:
    with serving(tmp_path) as proxy:
        ask(proxy, "canary.set", split="shop", weight=2500)
        client.ask(proxy.socket, "reload")
        assert weights(proxy, "shop") == {"canary": 2500, "stable": 7500}
        proxy.file.write_text(CONFIGURATION.replace("canary: v2", "canary: v3"))
        client.ask(proxy.socket, "reload")
        assert weights(proxy, "shop") == {"canary": 500, "stable": 9500}


def test_a_broken_state_is_a_warning(tmp_path: Path) -> None:
    with serving(tmp_path) as proxy:
        ask(proxy, "pool.drain", pool="api", server="127.0.0.1:1")
    [path] = tmp_path.glob("state/proxies/*/state.json")
    path.write_text("{")
    with serving(tmp_path) as proxy:
        assert proxy.said.count("what was changed at run time is not restored: ") == 1
        assert servers(proxy)["127.0.0.1:1"]["state"] == "up"


def test_a_state_that_cannot_be_written_is_told_once_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a folder")
    with serving(tmp_path) as proxy:
        ask(proxy, "pool.drain", pool="api", server="127.0.0.1:1")
        assert ask(proxy, "pool.restore", pool="api", server="127.0.0.1:1")["state"] == "up"
        ask(proxy, "pool.drain", pool="api", server="127.0.0.1:1")
        assert proxy.said.count("will not outlive this process") == 1


def test_draining_tells_what_is_left(tmp_path: Path) -> None:
    with serving(tmp_path) as proxy:
        first = ask(proxy, "pool.drain", pool="api", server="127.0.0.1:1")
        assert first == {"pool": "api", "server": "127.0.0.1:1", "state": "draining", "left": 1}
        assert ask(proxy, "pool.drain", pool="api", server="127.0.0.1:2")["left"] == 0
        assert ask(proxy, "pool.restore", pool="api", server="127.0.0.1:1")["left"] == 1


def test_each_event_is_one_line(tmp_path: Path) -> None:
    def event(kind: str, server: str | None = None, detail: str = "") -> dict[str, Any]:
        return {"pool": "api", "server": server, "kind": kind, "detail": detail}

    events = [
        event("down", "127.0.0.1:1", "3 checks failed: connection refused"),
        event("panic", None, "0 of 2 servers up: all are used"),
        event("out"),
        event("up", "127.0.0.1:1"),
    ]
    with serving(tmp_path, events=events) as proxy:
        proxy.wait_said("pool api: 127.0.0.1:1 is up\n")
        lines = [line for line in proxy.said.splitlines() if "pool api" in line]
        assert lines == [
            "reviver: pool api: 127.0.0.1:1 is down: 3 checks failed: connection refused",
            "reviver: pool api: panic: fewer than 50% of the servers are up: 0 of 2 servers up: all are used",
            "reviver: pool api: no server is left",
            "reviver: pool api: 127.0.0.1:1 is up",
        ]
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_said("nothing has changed")
        assert proxy.said.count("pool api: 127.0.0.1:1 is down") == 1


def test_splits_are_set_promoted_and_aborted(tmp_path: Path) -> None:
    with serving(tmp_path) as proxy:
        ask(proxy, "canary.promote", split="shop")
        assert weights(proxy, "shop") == {"canary": 10_000, "stable": 0}
        ask(proxy, "canary.abort", split="shop")
        assert weights(proxy, "shop") == {"canary": 0, "stable": 10_000}
        ask(proxy, "canary.abort", split="ab", variant="v2")
        assert weights(proxy, "ab") == {"v1": 7143, "v2": 0, "v3": 2857}
        ask(proxy, "canary.promote", split="ab", variant="v3")
        assert weights(proxy, "ab") == {"v1": 0, "v2": 0, "v3": 10_000}
        ask(proxy, "canary.set", split="ab", weights={"v1": 5000, "v2": 3000, "v3": 2000})
        assert weights(proxy, "ab") == {"v1": 5000, "v2": 3000, "v3": 2000}
        assert "reviver: split shop: promote by hand: canary=100% stable=0%\n" in proxy.said


def test_what_makes_no_sense_is_refused_with_what_does(tmp_path: Path) -> None:
    with serving(tmp_path) as proxy:
        for command, request, sentence in (
            ("canary.status", {"split": "shpo"}, "there is no split shpo (did you mean shop?)"),
            ("canary.set", {"split": "zzz", "weight": 1}, "there is no split zzz (there are: shop, ab)"),
            (
                "canary.set",
                {"split": "ab", "weight": 1},
                "say the weight of each variant: v1=33.34% v2=33.33% v3=33.33%",
            ),
            ("canary.set", {"split": "ab", "weights": {"v1": 9000, "v2": 999}}, "add up to 99.99%, not to 100%"),
            ("canary.set", {"split": "ab", "weights": {"v4": 10_000}}, "no variant v4 (there are: v1, v2, v3)"),
            ("canary.set", {"split": "shop", "weight": 10_001}, "10001 is not a weight"),
            ("canary.promote", {"split": "ab"}, "split ab has no canary; say which variant to promote: v1, v2, v3"),
            ("canary.abort", {"split": "ab", "variant": "v"}, "split ab has no variant v"),
            ("canary.resume", {"split": "shop"}, "split shop has no autopilot"),
            ("pool.status", {"pool": "apj"}, "there is no pool apj (did you mean api?)"),
            ("pool.drain", {"pool": "api", "server": "127.0.0.1:3"}, "pool api has no server 127.0.0.1:3 (did you"),
            ("pool.drain", {"pool": "api"}, 'there is no text under "server"'),
            ("pool.remove", {"pool": "v1", "server": "127.0.0.1:11"}, "is the last server of pool v1"),
        ):
            assert sentence in refused(proxy, command, **request)  # type: ignore[arg-type]
        assert not any(call.startswith(("split_set", "pool_drain", "apply")) for call in proxy.calls)


def test_a_proxy_of_the_command_line_keeps_nothing(tmp_path: Path) -> None:
    proxy = Process(
        tmp_path, env={"STATE_DIRECTORY": str(tmp_path / "state"), "RUNTIME_DIRECTORY": str(tmp_path)},
        command=("reverse", "--listen", "127.0.0.1:18082", "127.0.0.1:1", "127.0.0.1:2"),
    )  # fmt: skip
    try:
        proxy.wait_said("serves command line")
        [proxy.socket] = tmp_path.glob("*.sock")
        [pool] = ask(proxy, "pool.status")["pools"]
        ask(proxy, "pool.remove", pool=pool["name"], server="127.0.0.1:1")
        assert not (tmp_path / "state").exists()
        proxy.process.terminate()
        assert proxy.wait() == 0
    finally:
        proxy.process.kill()
        proxy.process.wait()
