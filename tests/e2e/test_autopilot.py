"""The autopilot before live servers: a bad canary is taken back, a good one is promoted, and who cannot tell waits.

Errors and latencies differ so much here that chance has no say; how it judges what is close is proved in simulation.
"""

from typing import Any

import pytest

from tests.support.fleet import breaks_off, slow, spread
from tests.support.load import Load
from tests.support.origin import responds
from tests.support.pools import HEALTH, notes, wait_note
from tests.support.proxy import Config
from tests.support.splits import Pair, canary, pilot, status, steer, wait_state, wait_weight, weights
from tests.support.wait import until

#: Each judgement needs few requests, as its margin is wide.
QUICK: Config = {"steps": ["10%", "50%", "100%"], "every": "300ms", "min_requests": 20}
WIDE: Config = {"abort_on": {"error_rate": "+20%"}}
BY_USER: Config = {"sticky": {"header": "x-user"}}


def load(pair: Pair, threads: int = 6) -> Load:
    """Two hundred people."""
    return Load(pair.port, threads=threads, people=200)


def test_a_good_canary_is_promoted() -> None:
    """Through all steps, each of which is told once; nobody notices anything."""
    with canary(**BY_USER, autopilot={**QUICK, **WIDE}) as pair, load(pair) as people:
        wait_weight(pair.proxy, 1_000)
        row = wait_state(pair.proxy, "promoted")
        assert weights(pair.proxy) == [10_000, 0]
        assert set(people.fresh(200)) == {"canary"}
        assert set(people.outcomes) == {200}
        assert [(step["weight"], step["state"]) for step in row["steps"]] == [
            (1_000, "done"),
            (5_000, "done"),
            (10_000, "done"),
        ]
        assert row["verdict"]["kind"] == "promoted"
        for weight in ("10 %", "50 %", "100 %"):
            assert len(notes(pair.proxy, "split shop: step", weight)) == 1
        assert len(notes(pair.proxy, "split shop", "all steps are done")) == 1


def assert_taken_back(pair: Pair, people: Load, *words: str) -> Any:
    """Weight 0 for good, one line that says why, and all people at the old version."""
    row = wait_state(pair.proxy, "aborted")
    assert weights(pair.proxy) == [0, 10_000]
    assert set(people.fresh(200)) == {"stable"}
    assert row["verdict"]["kind"] == "aborted"
    wait_note(pair.proxy, "split shop", "rolled back", *words)
    people.wait_more(300)
    assert weights(pair.proxy) == [0, 10_000]
    assert len(notes(pair.proxy, "rolled back")) == 1
    return row


def test_a_canary_that_answers_500_is_taken_back() -> None:
    with canary(**BY_USER, autopilot={**QUICK, "abort_on": {"error_rate": "+1%"}}) as pair:
        pair.canary.default = responds(500)
        with load(pair) as people:
            row = assert_taken_back(pair, people, "errors", "100 %")
        last = row["judgements"][-1]
        assert (last["verdict"], last["weight"]) == ("harm", 1_000)
        assert not notes(pair.proxy, "step", "50 %"), "it never came so far"


def test_harm_is_not_waited_for() -> None:
    """Neither until the step has lasted nor until there are so many requests."""
    autopilot: Config = {**QUICK, "every": "1h", "min_requests": 1_000_000, "abort_on": {"error_rate": "+1%"}}
    with canary(**BY_USER, autopilot=autopilot) as pair:
        pair.canary.default = responds(503)
        with load(pair) as people:
            assert_taken_back(pair, people, "errors")


def test_a_canary_whose_connections_break_is_taken_back() -> None:
    """Errors that the proxy makes for want of an answer are the canary's too."""
    with canary(**BY_USER, autopilot={**QUICK, "abort_on": {"error_rate": "+1%"}}) as pair:
        pair.canary.default = breaks_off
        with load(pair) as people:
            assert_taken_back(pair, people, "errors")


def test_a_slow_canary_is_taken_back() -> None:
    autopilot: Config = {**QUICK, "steps": ["50%", "100%"], "abort_on": {"p95": "+50%"}}
    with canary(**BY_USER, autopilot=autopilot) as pair:
        pair.stable.default = slow(0.02, pair.stable.name_yourself)
        pair.canary.default = slow(0.1, pair.canary.name_yourself)
        with load(pair, 12) as people:
            row = assert_taken_back(pair, people, "p95")
        judged = row["judgements"][-1]
        assert judged["canary"]["p95"] > judged["baseline"]["p95"]


def test_by_any_status() -> None:
    """Answers that are no errors for others may be some here."""
    with canary(**BY_USER, autopilot={**QUICK, "abort_on": {"status": {"404": "+2%"}}}) as pair:
        pair.canary.default = responds(404)
        with load(pair) as people:
            assert_taken_back(pair, people, "404")


def test_harm_at_a_later_step() -> None:
    """What has gone well so far protects nobody."""
    autopilot: Config = {"steps": ["20%", "60%", "100%"], "every": "2s", "min_requests": 20, **WIDE}
    with canary(**BY_USER, autopilot=autopilot) as pair, load(pair) as people:
        wait_weight(pair.proxy, 6_000)
        pair.canary.default = responds(500)
        assert_taken_back(pair, people, "errors")


def test_all_its_servers_are_down() -> None:
    """That is known by the checks, and not waited for."""
    autopilot: Config = {**QUICK, "every": "1h", "min_requests": 1_000_000}
    with canary({"pool": {"health": HEALTH}}, **BY_USER, autopilot=autopilot) as pair:
        wait_weight(pair.proxy, 1_000)
        pair.canary.on("/healthz", responds(503))
        wait_state(pair.proxy, "aborted")
        assert weights(pair.proxy) == [0, 10_000]
        wait_note(pair.proxy, "split shop", "rolled back", "no server")
        assert spread(pair.port, 50) == {"stable": 50}


def test_stable_that_is_just_as_bad() -> None:
    """It is compared with the old version, not with perfection. Half of all answers of both are errors."""
    with canary(**BY_USER, autopilot={**QUICK, **WIDE}) as pair:
        for server in (pair.canary, pair.stable):
            server.on("/bad", responds(500))
        with load(pair) as people, Load(pair.port, threads=6, people=200, target="/bad"):
            wait_state(pair.proxy, "promoted")
            people.wait_more(10)


# -- what cannot be told


def test_it_waits_where_traffic_is_low() -> None:
    """A few requests say nothing, however long the step lasts."""
    with canary(**BY_USER, autopilot={**QUICK, "min_requests": 50, **WIDE}) as pair:
        wait_weight(pair.proxy, 1_000)
        for user in range(40):
            spread(pair.port, 1, fields=[("X-User", str(user))])
        until(lambda: (pilot(pair.proxy)["seconds"] or 0) > 2, "seven times the step's time")
        row = pilot(pair.proxy)
        assert (row["state"], row["step"], row["verdict"]["kind"]) == ("waiting", 0, "too_few")
        assert weights(pair.proxy) == [1_000, 9_000]


def test_it_waits_for_evidence() -> None:
    """Enough requests by number, and yet a fine margin is not told by them."""
    autopilot: Config = {**QUICK, "min_requests": 1, "abort_on": {"error_rate": "+0.01%"}}
    with canary(**BY_USER, autopilot=autopilot) as pair:
        wait_weight(pair.proxy, 1_000)
        with load(pair, 2) as people:
            people.wait_more(300)
        until(lambda: (pilot(pair.proxy)["seconds"] or 0) > 2, "seven times the step's time")
        row = pilot(pair.proxy)
        assert (row["state"], row["verdict"]["kind"]) == ("waiting", "undecided")
        assert weights(pair.proxy) == [1_000, 9_000]


def test_without_traffic_nothing_happens() -> None:
    with canary(**BY_USER, autopilot={**QUICK, **WIDE}) as pair:
        until(lambda: (pilot(pair.proxy)["seconds"] or 0) > 1, "three times the step's time")
        assert weights(pair.proxy) == [1_000, 9_000]


# -- trying it


@pytest.mark.parametrize("answer", [200, 500])
def test_a_dry_run_moves_nothing(answer: int) -> None:
    """It says what it would do."""
    autopilot: Config = {**QUICK, **WIDE, "dry_run": True}
    with canary(**BY_USER, weight="30%", autopilot=autopilot) as pair:
        if answer != 200:
            pair.canary.default = responds(answer)
        with load(pair) as people:
            what = "all steps are done" if answer == 200 else "rolled back"
            until(lambda: notes(pair.proxy, "split shop", "dry run", what), f"{what} to be told", 40)
            assert weights(pair.proxy) == [3_000, 7_000]
            got = people.fresh(200)
            assert len(got) == 2, got
        row = pilot(pair.proxy)
        assert (row["state"], row["would"]) == ("dry", "promoted" if answer == 200 else "aborted")


# -- what is shown


def test_status() -> None:
    """Steps, both sides with their intervals, and the verdict; as JSON and drawn."""
    autopilot: Config = {**QUICK, "min_requests": 1_000_000, "abort_on": {"error_rate": "+1%", "p95": "+20%"}}
    with canary(**BY_USER, autopilot=autopilot) as pair:
        wait_weight(pair.proxy, 1_000)
        with load(pair) as people:
            people.wait_more(600)
            until(lambda: min(pilot(pair.proxy)["requests"].values()) >= 100, "what was answered to be judged")
        row = status(pair.proxy)
        assert row["baseline"]["requests"] > 0
        shown = row["autopilot"]
        assert [(step["weight"], step["state"]) for step in shown["steps"]] == [
            (1_000, "current"),
            (5_000, "to come"),
            (10_000, "to come"),
        ]
        assert (shown["every"], shown["min_requests"], shown["confidence"]) == (0.3, 1_000_000, 0.95)
        for side in ("canary", "baseline"):
            errors, median, p95 = (shown["shares"]["error_rate"], shown["latency"]["p50"], shown["latency"]["p95"])
            assert 0 <= errors[side]["low"] <= errors[side]["value"] <= errors[side]["high"] <= 1
            assert 0 < median[side]["low"] <= median[side]["value"] <= median[side]["high"]
            # of a high quantile so few requests may give no upper bound
            assert median[side]["value"] <= p95[side]["value"] <= (p95[side]["high"] or p95[side]["value"])
        # a share of the old version as large as the canary's: of 200 people by chance, 20 each
        assert 0.2 < shown["requests"]["baseline"] / shown["requests"]["canary"] < 5
        assert {metric["name"] for metric in shown["metrics"]} == {"error_rate", "p95"}
        text = pair.proxy.cli("canary", "status", "shop").stdout
        for word in ("canary", "stable", "10", "50", "100", "p95", "error", "shop", "1000000"):
            assert word in text.replace(",", "").replace(" 000", "000"), word


def test_the_comparison_is_with_as_many_others() -> None:
    """At 10 % the baseline is another 10 %, and not the remaining 90 %."""
    with canary(autopilot={**QUICK, "min_requests": 1_000_000}) as pair:
        wait_weight(pair.proxy, 1_000)
        spread(pair.port, 1_000)
        row = status(pair.proxy)
        requests = [row["variants"][0]["requests"], row["variants"][1]["requests"], row["baseline"]["requests"]]
        assert sum(requests[:2]) == 1_000
        assert abs(requests[0] - 100) <= 50
        assert abs(requests[2] - 100) <= 50


def test_it_is_steered_by_hand_too() -> None:
    """A person's word is done at once: nothing moves then until it is told to go on."""
    with canary(**BY_USER, autopilot={**QUICK, **WIDE}) as pair, load(pair) as people:
        steer(pair.proxy, "set", "shop", "33.33%")
        assert weights(pair.proxy) == [3_333, 6_667]
        assert pilot(pair.proxy)["state"] == "paused"
        people.wait_more(1_000)
        assert weights(pair.proxy) == [3_333, 6_667]
        steer(pair.proxy, "resume", "shop")
        wait_state(pair.proxy, "promoted")
        steer(pair.proxy, "abort", "shop")
        assert weights(pair.proxy) == [0, 10_000]
        people.wait_more(300)
        assert (pilot(pair.proxy)["state"], weights(pair.proxy)) == ("aborted", [0, 10_000])
        steer(pair.proxy, "promote", "shop")
        assert (pilot(pair.proxy)["state"], weights(pair.proxy)) == ("promoted", [10_000, 0])
        assert set(people.outcomes) == {200}
