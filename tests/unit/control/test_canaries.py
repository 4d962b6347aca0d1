"""Autopilots in a whole proxy on the engine's stand-in, and what weights become when one side is taken out."""

import os
import pwd
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reviver.control import client
from reviver.control.canaries import FULL, without
from tests.unit.control.test_pools import CONFIGURATION, ask, refused, serving, states, weights

PILOTED = CONFIGURATION.replace(
    "shop: {stable: v1, canary: v2, weight: 5%}",
    "shop: {stable: v1, canary: v2, autopilot: {steps: [2%, 100%], gates: {before: 'gate.py:go'}}}",
)
YES = "def go(facts): pass"


def test_an_autopilot_is_begun_before_anybody_is_served_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / "gate.py").write_text("def go(facts): return False")
    with serving(tmp_path, PILOTED) as proxy:
        start = next(index for index, call in enumerate(proxy.calls) if call.startswith("start"))
        assert "split_set shop [0, 10000]" in proxy.calls[:start], "the gate has not passed yet"
        proxy.wait_said("gate before 2 % did not pass: gate.py:go: it returned False")
    (tmp_path / "gate.py").write_text(YES)
    with serving(tmp_path, PILOTED) as proxy:
        [split] = ask(proxy, "canary.status", split="shop")["splits"]
        assert split["autopilot"]["state"] == "gate"
        assert "begins its walk" not in proxy.said


def test_commands_go_through_the_autopilot(tmp_path: Path) -> None:
    (tmp_path / "gate.py").write_text(YES)
    with serving(tmp_path, PILOTED) as proxy:
        proxy.wait_said("split shop: step 1 of 2: 2 %")
        assert ask(proxy, "canary.abort", split="shop")["autopilot"]["state"] == "aborted"
        assert weights(proxy, "shop") == {"canary": 0, "stable": FULL}
    with serving(tmp_path, PILOTED) as proxy:
        assert weights(proxy, "shop") == {"canary": 0, "stable": FULL}, "it stays out after a restart"
        assert ask(proxy, "canary.set", split="shop", weight=700)["autopilot"]["state"] == "paused"
        assert weights(proxy, "shop") == {"canary": 700, "stable": 9300}
        assert ask(proxy, "canary.set", split="shop", weights={"canary": 800, "stable": 9200})
        assert weights(proxy, "shop") == {"canary": 800, "stable": 9200}
        assert ask(proxy, "canary.promote", split="shop")["autopilot"]["state"] == "promoted"
        ask(proxy, "canary.resume", split="shop")
        proxy.wait_said("split shop: step 1 of 2: 2 %")
        assert "there is nothing to resume" in refused(proxy, "canary.resume", split="shop")


def test_a_reload_begins_and_ends_autopilots(tmp_path: Path) -> None:
    (tmp_path / "gate.py").write_text(YES)
    with serving(tmp_path) as proxy:
        proxy.file.write_text(PILOTED)
        client.ask(proxy.socket, "reload")
        proxy.wait_said("split shop: step 1 of 2: 2 %")
        proxy.file.write_text(CONFIGURATION)
        client.ask(proxy.socket, "reload")
        [split] = ask(proxy, "canary.status", split="shop")["splits"]
        assert split["autopilot"] is None
        assert weights(proxy, "shop") == {"canary": 500, "stable": 9500}
        assert states(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_who_has_given_up_root_keeps_its_own_state(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    (tmp_path / "gate.py").write_text(YES)
    for weight in (700, 800):
        with serving(tmp_path, PILOTED + "user: nobody\n") as proxy:
            proxy.wait_said("step 1 of 2: 2 %" if weight == 700 else "serves r.yaml")
            assert weights(proxy, "shop")["canary"] == (200 if weight == 700 else 700)
            ask(proxy, "canary.set", split="shop", weight=weight)
        [path] = tmp_path.glob("state/proxies/*/state.json")
        assert path.stat().st_uid == path.parent.stat().st_uid == pwd.getpwnam("nobody").pw_uid
        assert path.stat().st_mode & 0o777 == 0o600


@given(st.lists(st.integers(0, FULL), min_size=2, max_size=8), st.data())
def test_the_others_share_what_one_had(shares: list[int], data: st.DataObject) -> None:
    out = data.draw(st.integers(0, len(shares) - 1))
    left = without(shares, out)
    assert sum(left) == FULL
    assert left[out] == 0
    others = sum(shares) - shares[out]
    if others:
        for index, share in enumerate(shares):
            if index != out:
                assert abs(left[index] - share * FULL / others) < 1
