import contextlib
import ipaddress
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benches import balancing
from benches.balancing import (
    BALANCE_SCENARIOS,
    BALANCERS,
    BASE,
    CHOOSERS,
    Balance,
    server,
)
from benches.bench import Bench, Outcome, Row, Scenario, Settings, run
from benches.fleets import FLEETS, EnvoyFleet, Fleet, HaproxyFleet, ReviverFleet, Service
from benches.loads import Load, MeasureError
from benches.peers import PEERS, Mode, Origin
from benches.processes import Managed, StartError
from benches.report import reached, scenario_table
from benches.targets import TARGETS, judge
from benches.toolbox import Toolbox
from reviver.config import load_file
from reviver.config.values import Duration

ORIGIN = Origin(http=18100, bulk=18101, echo=18102, h2=18103, cacheable=18104)
SERVERS = [server(number, 18105) for number in range(1000)]


@pytest.fixture
def toolbox(tmp_path: Path) -> Toolbox:
    programs = {peer.program: tmp_path / peer.program for peer in PEERS}
    return Toolbox(tmp_path, programs | {"loadgen": Path("/opt/loadgen")})


@pytest.fixture
def bench(toolbox: Toolbox, tmp_path: Path) -> Bench:
    peers = {peer.name: peer(toolbox) for peer in PEERS}
    return Bench(Settings(seconds=2), toolbox, peers, tmp_path, 0, 1, ORIGIN, lambda _: None)


def fleet(kind: type[Fleet], toolbox: Toolbox) -> Fleet:
    return kind(next(peer for peer in PEERS if peer.name == kind.peer)(toolbox))


def named(name: str) -> Scenario:
    return next(scenario for scenario in BALANCE_SCENARIOS if scenario.name == name)


def test_a_thousand_servers_are_as_many_addresses_of_loopback() -> None:
    hosts = {ipaddress.ip_address(address.partition(":")[0]) for address in SERVERS}
    assert len(hosts) == 1000
    assert all(host.is_loopback for host in hosts)


@pytest.mark.parametrize("kind", FLEETS, ids=lambda kind: kind.peer)
def test_a_fleet_has_all_servers_and_its_balancer(kind: type[Fleet], toolbox: Toolbox, tmp_path: Path) -> None:
    launch = fleet(kind, toolbox).prepare(tmp_path, 18118, Service(SERVERS, "power_of_two"))
    assert launch.ports == {Mode.REVERSE: 18118}
    written = "".join(path.read_text() for path in tmp_path.iterdir())
    assert all(address.partition(":")[0] in written for address in SERVERS)
    assert "18105" in written
    assert "power_of_two" in written
    assert "$" not in written


@pytest.mark.parametrize("balance", BALANCERS)
def test_reviver_reads_its_configuration_with_each_balancer(balance: str, toolbox: Toolbox, tmp_path: Path) -> None:
    fleet(ReviverFleet, toolbox).prepare(tmp_path, 18118, Service(SERVERS, balance, 5.0))
    reverse = load_file(tmp_path / "reviver.json").config.reverse
    assert reverse is not None
    pool = reverse.pools["servers"]
    assert (len(pool.servers), pool.balance) == (1000, balance)
    assert (pool.hash_on == "path") == (balance in {"hash", "maglev"})
    assert pool.health is not None
    assert pool.health.every == Duration(5000)


def test_reviver_looks_for_slow_servers_where_it_is_said(toolbox: Toolbox, tmp_path: Path) -> None:
    found = {}
    for name, chooser in CHOOSERS.items():
        if chooser.kind is ReviverFleet:
            fleet(ReviverFleet, toolbox).prepare(tmp_path, 18118, Service(SERVERS, chooser.balance, more=chooser.more))
            reverse = load_file(tmp_path / "reviver.json").config.reverse
            assert reverse is not None
            outlier = reverse.pools["servers"].outlier
            found[name] = outlier is not None and outlier.latency is not None
    assert [name for name, looks in found.items() if looks] == ["Reviver, power_of_two and outlier"]


def test_servers_are_checked_where_it_is_said_and_as_often(toolbox: Toolbox, tmp_path: Path) -> None:
    written = []
    for every in (None, 5.0):
        fleet(HaproxyFleet, toolbox).prepare(tmp_path, 18118, Service(SERVERS, "random", every))
        written.append((tmp_path / "haproxy.cfg").read_text())
    assert "check" not in written[0]
    assert "default-server check inter 5000ms" in written[1]


def test_envoys_servers_are_endpoints_of_one_cluster(toolbox: Toolbox, tmp_path: Path) -> None:
    fleet(EnvoyFleet, toolbox).prepare(tmp_path, 18118, Service(SERVERS[:3], "LEAST_REQUEST"))
    (cluster,) = json.loads((tmp_path / "envoy.json").read_text())["static_resources"]["clusters"]
    addresses = [
        it["endpoint"]["address"]["socket_address"] for it in cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    ]
    assert addresses == [{"address": f"127.1.0.{number}", "port_value": 18105} for number in (1, 2, 3)]


def test_who_is_not_there_is_left_out(bench: Bench) -> None:
    del bench.peers["Envoy"]
    assert "Envoy, LEAST_REQUEST" not in named("balance-slow").subjects(bench)
    assert "HAProxy, leastconn" in named("balance-slow").subjects(bench)
    del bench.peers["HAProxy"]
    assert not [name for name in named("balance-3").subjects(bench) if name.startswith("HAProxy")]
    assert named("health-1000").subjects(bench) == ["Reviver"]
    del bench.peers["Reviver"]
    assert named("balance-3").subjects(bench) == []


class Fake:
    """A process that is asked for nothing."""


def fakes(monkeypatch: pytest.MonkeyPatch, cpu: dict[int, list[float]]) -> list[tuple[int, Service]]:
    """No process is started; loads on a port need what stands in the list, one after the other."""
    started: list[tuple[int, Service]] = []

    @contextlib.contextmanager
    def standing(bench: Bench, kind: type[Fleet], place: int, service: Service) -> Iterator[tuple[object, int]]:
        port = bench.port(kind.peer) + place
        started.append((port, service))
        yield Fake(), port

    @contextlib.contextmanager
    def answering(*_: object) -> Iterator[int]:
        yield 0

    def sample(bench: Bench, process: Managed, port: int, load: Load, seconds: float | None = None) -> Row:
        row = dict.fromkeys(("rate", "p50_ms", "p99_ms", "pss_mib", "busy", "requests"), 1.0)
        return {**row, "cpu_us": cpu[port].pop(0) if port in cpu else 10.0}

    monkeypatch.setattr(balancing, "standing", standing)
    monkeypatch.setattr(balancing, "answering", answering)
    monkeypatch.setattr(balancing, "sample", sample)
    monkeypatch.setattr(balancing, "bounded", lambda result: result)
    monkeypatch.setattr(Bench, "put", lambda *_: None)
    return started


def test_each_balancer_is_compared_with_one_server_that_was_asked_at_the_same_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, third = bench.port("Reviver"), bench.port("Reviver") + 3
    bench.settings = Settings(rounds=1, seconds=2 * balancing.SLICE)
    # the base itself, then two slices each beside nine others of Reviver
    cpu = {base: [10.0] * (1 + 2 * 2) + [10.0, 30.0] + [10.0] * 2 * 6, third: [11.0, 33.0]}
    started = fakes(monkeypatch, cpu)
    outcome = run(bench, named("balance-3"))
    assert not outcome.failures
    assert len({port for port, _ in started}) == len(started) == 12
    assert [len(service.servers) for _, service in started] == [1, 1, *[3] * 8, 1, 3]
    assert outcome.median("least_requests") == pytest.approx(10.0)
    assert outcome.median("round_robin") == pytest.approx(0.0)
    assert outcome.median(BASE) is None
    assert "| one server | - |" in scenario_table(outcome)


def test_without_its_base_nobody_is_compared(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes(monkeypatch, {})
    scenario = Balance(3)
    with pytest.raises(MeasureError), scenario.session(bench, "random"):
        pass


def test_where_the_servers_do_not_start_all_fail(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def answering(*_: object) -> contextlib.AbstractContextManager[int]:
        raise StartError("port 18105 on loopback is taken")

    monkeypatch.setattr(balancing, "answering", answering)
    scenario = named("balance-slow")
    outcome = run(bench, scenario)
    assert set(outcome.failures) == set(scenario.subjects(bench))
    assert not outcome.rows


def measured(name: str, rows: dict[str, Row]) -> dict[str, Outcome]:
    return {name: Outcome(named(name), {subject: [row] for subject, row in rows.items()})}


def test_the_worst_balancer_decides() -> None:
    rows: dict[str, Row] = {name: {"over": 1.0} for name in BALANCERS}
    (verdict,) = judge(measured("balance-3", {**rows, "maglev": {"over": 3.4}}))
    assert (verdict.met, verdict.limit, reached(verdict)) == (False, 3.0, "3.40 (maglev)")
    (verdict,) = judge(measured("balance-3", {**rows, "HAProxy, roundrobin": {"over": 9.0}}))
    assert verdict.met


def test_power_of_two_is_judged_beside_a_fleet_without_the_slow_server_and_the_best_of_the_others() -> None:
    rows: dict[str, Row] = {
        "Reviver, power_of_two": {"p99_ms": 30.0, "over": 1.4},
        "Reviver, peak_ewma": {"p99_ms": 22.0, "over": 1.0},
        "HAProxy, leastconn": {"p99_ms": 31.0, "over": 1.4},
        "Envoy, LEAST_REQUEST": {"p99_ms": 29.0, "over": 1.4},
    }
    verdicts = judge(measured("balance-slow", rows))
    assert [(verdict.peer, verdict.met) for verdict in verdicts] == [
        ("Reviver, power_of_two", False),
        ("Envoy, LEAST_REQUEST", False),
    ]
    assert reached(verdicts[0]) == "1.40 (power_of_two)"


def test_checks_may_take_one_percent_of_a_core() -> None:
    assert [verdict.met for verdict in judge(measured("health-1000", {"Reviver": {"core": 0.9}}))] == [True]


def test_every_target_of_balancing_is_of_a_scenario_that_has_its_metric() -> None:
    scenarios = {scenario.name: scenario for scenario in BALANCE_SCENARIOS}
    of_balancing = [target for target in TARGETS if target.scenario in scenarios]
    assert {target.scenario for target in of_balancing} == set(scenarios)
    for target in of_balancing:
        scenario = scenarios[target.scenario]
        assert (target.metric or scenario.main) in {metric.key for metric in scenario.metrics}
