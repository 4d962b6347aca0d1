from datetime import date
from xml.etree import ElementTree

import pytest

from benches.bench import Outcome, Settings
from benches.chart import draw
from benches.loads import Requests
from benches.machine import Machine
from benches.peers import Mode
from benches.rate import Rate
from benches.report import PeerFacts, Report, scenario_table
from benches.targets import judge

QUIET = Machine("Testor 9000", 2, 24, "Linux 6.1", "Debian 12", 0.1)


def row(cpu: float) -> dict[str, float]:
    return {"cpu_us": cpu, "rate": 1e6 / cpu, "p50_ms": 1, "p99_ms": 2, "pss_mib": 10, "busy": 99}


def measured(name: str, **cpu: list[float]) -> Outcome:
    scenario = Rate(name, f"Title of {name}", Requests(Mode.REVERSE, 1024, 64), "About it.")
    return Outcome(scenario, {subject: [row(value) for value in values] for subject, values in cpu.items()})


def report(*outcomes: Outcome, machine: Machine = QUIET, quick: bool = False) -> str:
    peers = [PeerFacts("HAProxy", "HAProxy version 2.8", "one thread")]
    missing = {"squid": "no such package"}
    found = {outcome.scenario.name: outcome for outcome in outcomes}
    settings = Settings(quick=quick)
    return Report(date(2026, 1, 2), "python -m benches", machine, settings, peers, missing, found).markdown("c.svg")


def cells(table: str, subject: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.strip("|* ").startswith(subject))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_table_shows_medians_the_range_of_what_counts_and_multiples_of_reviver() -> None:
    table = scenario_table(measured("reverse-1k", Reviver=[12, 10, 11], HAProxy=[33, 20, 22]))
    assert cells(table, "Reviver")[:3] == ["**Reviver**", "11.0 (10.0 to 12.0)", "90,909"]
    assert cells(table, "HAProxy")[1] == "22.0 (20.0 to 33.0)"
    assert (cells(table, "Reviver")[-1], cells(table, "HAProxy")[-1]) == ("1.00", "2.00")


def test_without_reviver_there_are_no_multiples() -> None:
    table = scenario_table(measured("reverse-1k", HAProxy=[20]))
    assert "Reviver" not in table
    assert cells(table, "HAProxy")[1] == "20.0"


def test_a_subject_that_failed_is_told_with_its_reason() -> None:
    outcome = measured("reverse-1k", HAProxy=[20])
    outcome.failures["nginx"] = "nginx did not start: no such file"
    assert "nginx could not be measured: nginx did not start: no such file." in scenario_table(outcome)


def test_targets_are_judged_against_the_named_peer() -> None:
    verdicts = judge({"reverse-1k": measured("reverse-1k", Reviver=[16], HAProxy=[20], nginx=[26])})
    assert [(verdict.peer, verdict.met) for verdict in verdicts] == [("HAProxy", True), ("nginx", False)]
    assert [verdict.limit for verdict in verdicts] == pytest.approx([17.0, 15.6])


def test_the_best_peer_is_neither_reviver_nor_the_floor() -> None:
    outcome = measured("reverse-1m", Reviver=[300], HAProxy=[280], nginx=[900])
    outcome.rows["bare relay"] = [row(100)]
    (verdict,) = judge({"reverse-1m": outcome})
    assert (verdict.peer, verdict.met) == ("HAProxy", False)


def test_a_target_may_be_the_best_of_some_peers() -> None:
    outcome = measured("h2-10", Reviver=[15], HAProxy=[14], nginx=[21], Envoy=[5])
    (verdict,) = judge({"h2-10": outcome})
    assert (verdict.peer, verdict.limit, verdict.met) == ("HAProxy", 14, False)
    assert "| the best of HAProxy, nginx and Debian nginx (HAProxy) | 14.00 | 15.00 | **no** |" in report(outcome)


def test_a_target_without_its_peer_is_not_judged() -> None:
    assert judge({"forward-1k": measured("forward-1k", Reviver=[10], HAProxy=[20])}) == []


def test_the_document_names_machine_date_command_versions_and_what_is_missing() -> None:
    text = report(measured("reverse-1k", Reviver=[10], HAProxy=[20]))
    for piece in ("2026-01-02", "`python -m benches`", "Testor 9000, 2 cores", "Linux 6.1", "HAProxy version 2.8"):
        assert piece in text
    assert "Left out: **squid** (no such package)" in text
    assert "](c.svg)" in text
    assert "| Title of reverse-1k | CPU µs/request | 0.85 x HAProxy | 17.00 | 10.00 | yes |" in text


def test_figures_of_a_quick_run_or_a_busy_machine_are_called_noise() -> None:
    outcome = measured("reverse-1k", Reviver=[10])
    busy = Machine("Testor 9000", 2, 24, "Linux 6.1", "Debian 12", 3.0)
    assert "noise" not in report(outcome)
    assert "noise" in report(outcome, quick=True)
    assert "load average 3.0" in report(outcome, machine=busy)


def test_the_chart_is_well_formed_and_has_a_bar_for_each_proxy_the_shortest_first() -> None:
    outcomes = [
        measured("reverse-1k", HAProxy=[20], Reviver=[10]),
        measured("a<b", Squid=[60]),
        measured("c", Envoy=[50]),
    ]
    root = ElementTree.fromstring(draw(outcomes))
    space = "{http://www.w3.org/2000/svg}"
    bars = root.findall(f"{space}rect")
    assert [bar.get("class") for bar in bars] == ["hero", "peer", "peer", "peer"]
    widths = [float(bar.get("width", "")) for bar in bars]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.1)
    assert "Title of a<b: CPU µs/request" in [text.text for text in root.iter(f"{space}text")]


def test_the_chart_of_nothing_is_still_a_drawing() -> None:
    assert ElementTree.fromstring(draw([])).tag.endswith("svg")
