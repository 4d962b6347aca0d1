from pathlib import Path

import pytest

from benches.bench import Outcome
from benches.caches import CACHES, MIB, Cache, Room
from benches.caching import CACHE_SCENARIOS, at_random, targets
from benches.loads import Replay, Unique
from benches.peers import PEERS, Mode, Origin
from benches.targets import TARGETS, judge
from benches.toolbox import Toolbox
from benches.workload import Workload
from reviver.config import load_file

ORIGIN = Origin(http=18100, bulk=18101, echo=18102, h2=18103, cacheable=18104)
FILES = Path("/files")
SMALL = Workload(1_000, 20_000, 0.9)


@pytest.fixture
def toolbox(tmp_path: Path) -> Toolbox:
    programs = {peer.program: tmp_path / peer.program for peer in PEERS}
    return Toolbox(tmp_path, programs | {"loadgen": Path("/opt/loadgen")})


def cache(name: str, toolbox: Toolbox) -> Cache:
    kind = next(kind for kind in CACHES if kind.name == name)
    return kind(next(peer for peer in PEERS if peer.name == kind.peer)(toolbox))


@pytest.mark.parametrize("name", [kind.name for kind in CACHES])
def test_a_cache_knows_the_origin_that_may_be_cached(
    name: str, toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    launch = cache(name, toolbox).prepare(tmp_path, FILES, 18118, ORIGIN, Room(64 * MIB))
    assert launch.ports == {Mode.REVERSE: 18118}
    written = "".join(path.read_text() for path in tmp_path.iterdir()) + " ".join(map(str, launch.argv))
    assert "18104" in written
    assert "18118" in written
    assert "$" not in written.replace("$host", "").replace("$proxy_add_x_forwarded_for", "")


def test_reviver_reads_its_configuration_with_and_without_a_disk(toolbox: Toolbox, tmp_path: Path) -> None:
    for room, disk in ((Room(64 * MIB), False), (Room(64 * MIB, 128 * MIB), True)):
        cache("Reviver", toolbox).prepare(tmp_path, FILES, 18118, ORIGIN, room)
        config = load_file(tmp_path / "reviver.json").config
        assert config.reverse is not None
        assert config.reverse.routes[0].cache
        assert config.cache.memory == 64 * MIB
        assert (config.cache.disk is not None) == disk
    cache("Reviver, no cache", toolbox).prepare(tmp_path, FILES, 18118, ORIGIN, Room(64 * MIB))
    config = load_file(tmp_path / "reviver.json").config
    assert config.reverse is not None
    assert not config.reverse.routes[0].cache


def test_a_bound_of_objects_is_nginxs_zone_of_keys(toolbox: Toolbox, tmp_path: Path) -> None:
    cache("nginx", toolbox).prepare(tmp_path, FILES, 18118, ORIGIN, Room(64 * MIB, objects=10_000))
    assert "keys_zone=objects:1280000 max_size=67108864 " in (tmp_path / "nginx.conf").read_text()


def test_loads_of_caches_come_from_loadgen_and_no_two_of_unique_targets_are_alike(toolbox: Toolbox) -> None:
    replay = Replay(Path("/a.targets"), 16, 400).command(toolbox, 18118, ORIGIN, 4)
    first, second = (Unique(1024, 64).command(toolbox, 18118, ORIGIN, 4) for _ in range(2))
    assert replay[:5] == ["/opt/loadgen", "replay", "127.0.0.1:18118", "bench.example", "/a.targets"]
    assert replay[-2:] == ["--requests", "400"]
    assert first[1] == "unique"
    assert first[4] != second[4]


def test_the_workload_is_the_same_each_time_and_what_comes_first_comes_often() -> None:
    again = Workload(1_000, 20_000, 0.9)
    assert SMALL.targets() == again.targets()
    trace = SMALL.trace()
    assert len(trace) == 20_000
    # of Zipf's law with 0.9, for the first and the tenth
    assert trace.count(0) / trace.count(9) == pytest.approx(10**0.9, rel=0.2)
    sizes = SMALL.sizes()
    assert min(sizes) >= 64
    assert max(sizes) <= 65_536
    assert sorted(sizes)[500] == pytest.approx(4096, rel=0.1)
    assert SMALL.targets()[0] == f"/z{trace[0]}/{sizes[trace[0]]}"


def test_objects_are_chosen_among_those_that_there_are() -> None:
    assert targets(64, 2) == ("/k0/64", "/k1/64")
    assert set(at_random(targets(64, 2), 50)) == {"/k0/64", "/k1/64"}


def measured(name: str, **rows: dict[str, float]) -> dict[str, Outcome]:
    scenario = next(scenario for scenario in CACHE_SCENARIOS if scenario.name == name)
    return {name: Outcome(scenario, {subject.replace("_", " "): [row] for subject, row in rows.items()})}


def test_hits_are_to_be_at_least_as_many() -> None:
    found = measured("cache-zipf", Reviver={"cpu_us": 10, "hit": 64.0}, Varnish={"cpu_us": 20, "hit": 65.0})
    verdicts = judge(found)
    assert [(verdict.target.at_least, verdict.met) for verdict in verdicts] == [(False, True), (True, False)]


def test_a_simulated_policy_is_a_rival_in_hits_alone() -> None:
    found = measured("cache-zipf", Reviver={"cpu_us": 10, "hit": 63.0})
    found["cache-zipf"].rows["W-TinyLFU (simulated)"] = [{"hit": 66.0}]
    (verdict,) = judge(found)
    assert (verdict.limit, verdict.met) == (63.0, True)


def test_a_target_may_be_a_number() -> None:
    assert [verdict.met for verdict in judge(measured("cache-herd", Reviver={"fetches": 1}))] == [True]
    assert [verdict.met for verdict in judge(measured("cache-memory", Reviver={"overhead": 301}))] == [False]


def test_every_target_of_the_cache_is_of_a_scenario_that_has_its_metric() -> None:
    scenarios = {scenario.name: scenario for scenario in CACHE_SCENARIOS}
    of_the_cache = [target for target in TARGETS if target.scenario.startswith("cache-")]
    assert len({target.scenario for target in of_the_cache}) >= 7
    for target in of_the_cache:
        scenario = scenarios[target.scenario]
        assert (target.metric or scenario.main) in {metric.key for metric in scenario.metrics}
