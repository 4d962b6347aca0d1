"""What holds whatever comes."""

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from reviver.canary import Action, Autopilot, Counters, Event, Gate, Settings, SetWeight
from reviver.errors import OperationError

QUICK = Settings(
    steps=(1_000, 5_000, 10_000),
    every=3,
    min_requests=20,
    error_rate=0.2,
    quantiles={0.5: 0.5},
    statuses={"4xx": 0.3},
)
BUCKETS = (800, 1_000, 1_200, 1_500, 5_000)

_side = st.builds(
    lambda count, bad, slow: Counters(
        count,
        count * bad // 10,
        {"4xx": count - count * bad // 10},
        [(BUCKETS[slow], count // 2), (BUCKETS[slow] + 7, count - count // 2)],
    ),
    count=st.sampled_from([0, 1, 4, 30, 200]),
    bad=st.sampled_from([0, 0, 0, 0, 1, 5, 10]),
    slow=st.integers(0, len(BUCKETS) - 1),
)
_look = st.tuples(st.just("look"), _side, _side, st.sampled_from([True] * 30 + [False]))
_good = st.just(("good",))
_gate = st.tuples(st.just("gate"), st.booleans())
_command = st.one_of(
    st.just(("command", "abort", None)),
    st.just(("command", "promote", None)),
    st.just(("command", "resume", None)),
    st.tuples(st.just("command"), st.just("set"), st.integers(0, 10_000)),
)
_story = st.lists(st.one_of(_look, _good, _good, _good, _good, _gate, _gate, _command), min_size=5, max_size=40)
_config = st.builds(replace, st.just(QUICK), before=st.booleans(), after=st.booleans(), dry_run=st.booleans())

GOOD = Counters(60, 0, {"2xx": 60}, [(1_000, 30), (1_200, 30)])


class _Teller:
    """Tells a story to an autopilot."""

    def __init__(self, config: Settings) -> None:
        self.config = config
        self.pilot = Autopilot(config)
        self.now = 100.0
        self.canary = self.baseline = Counters()

    def tell(self, part: tuple[object, ...]) -> list[Action]:
        match part:
            case ("look", Counters() as canary, Counters() as baseline, bool() as available):
                return self._look(canary, baseline, available)
            case ("good",):
                return self._look(GOOD, GOOD, available=True)
            case ("gate", bool() as ok):
                return self.pilot.gate_result(ok, "because")
            case ("command", str() as verb, weight):
                try:
                    return self.pilot.command(verb, weight)  # type: ignore[arg-type]
                except OperationError:
                    return []
        raise AssertionError(part)

    def restart(self) -> None:
        self.pilot = Autopilot(self.config, json.loads(json.dumps(self.pilot.state(), allow_nan=False)))

    def _look(self, canary: Counters, baseline: Counters, available: bool) -> list[Action]:
        self.now += 1
        self.canary, self.baseline = self.canary.plus(canary), self.baseline.plus(baseline)
        return self.pilot.observe(self.now, self.canary, self.baseline, available)


@settings(max_examples=150, deadline=None)
@given(_config, _story)
def test_the_weight_grows_by_enough_requests_and_evidence_only(
    config: Settings, story: list[tuple[object, ...]]
) -> None:
    teller = _Teller(replace(config, dry_run=False))
    weight, safe = 0, False
    for part in story:
        for action in teller.tell(part):
            if isinstance(action, SetWeight):
                assert action.weight <= weight or weight == 0 or safe or part[0] == "command"
                weight = action.weight
            elif isinstance(action, Event):
                safe = _is_safe(action, teller) or (safe and action.kind not in ("step", "paused", "started"))


def _is_safe(event: Event, teller: _Teller) -> bool:
    """Whether it says that there is no harm, with numbers that bear it."""
    if event.kind != "verdict" or event.data["verdict"] != "safe":
        return False
    numbers = event.data
    assert numbers["seconds"] >= teller.config.every
    assert numbers["canary"]["requests"] >= teller.config.min_requests
    if numbers["weight"] < 10_000:
        assert numbers["baseline"]["requests"] >= teller.config.min_requests
        assert min(numbers["safe"].values()) >= 1 / (1 - teller.config.confidence) - 0.01
    return True


@settings(max_examples=150, deadline=None)
@given(_config, _story)
def test_an_end_is_final_until_somebody_says_otherwise(config: Settings, story: list[tuple[object, ...]]) -> None:
    teller = _Teller(config)
    teller.tell(("good",))
    over = False
    for part in story:
        actions = teller.tell(part)
        if over and part[0] != "command":
            assert actions == []
        status = teller.pilot.status()
        over = (status["would"] or status["state"]) in ("aborted", "promoted")
        json.dumps([status, [action.data for action in actions if isinstance(action, Event)]], allow_nan=False)


@settings(max_examples=150, deadline=None)
@given(_config, _story)
def test_restarts_at_any_time_change_no_decision(config: Settings, story: list[tuple[object, ...]]) -> None:
    one, other = _Teller(config), _Teller(config)
    for part in story:
        expected = one.tell(part)
        if part[0] in ("look", "good"):
            other.restart()
        found = other.tell(part)
        # after a start the weight is told again, and who was asked is asked again
        mine, others = ([action for action in actions if not isinstance(action, Gate)] for actions in (expected, found))
        if others and others != mine and isinstance(others[0], SetWeight):
            others = others[1:]
        assert others == mine
        assert one.pilot.status() | {"gate": None} == other.pilot.status() | {"gate": None}
