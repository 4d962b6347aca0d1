from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from reviver.config.models.balancing import HashBalance
from reviver.config.models.statuses import StatusRange
from reviver.config.shares import Percent, Rate, Rise, Share

KINDS = (Percent, Share, Rise, Rate, HashBalance, StatusRange)


@pytest.mark.parametrize(
    ("text", "points"),
    [("5%", 500), ("0%", 0), ("100%", 10_000), ("0.01%", 1), ("0.29%", 29), ("33.3%", 3330), ("5 %", 500),
     ("007.5%", 750)],
)  # fmt: skip
def test_percentages_are_hundredths_of_a_percent(text: str, points: int) -> None:
    assert Percent.read(text) == points


@pytest.mark.parametrize(
    "value", [5, 0.05, "5", "+5%", "-5%", "0.001%", "100.01%", "5%%", "%", "", ".5%", "1e1%", "\u0665%", True, None, []]
)
def test_no_percentages(value: object) -> None:
    with pytest.raises(PydanticCustomError):
        Percent.read(value)


@pytest.mark.parametrize(("value", "points"), [(50, 5000), (33.33, 3333), ("20", 2000), ("20%", 2000), (100.0, 10_000)])
def test_of_shares_the_sign_may_be_left_out(value: object, points: int) -> None:
    assert Share.read(value) == points


@pytest.mark.parametrize("value", [33.333, -1, 101, float("nan"), float("inf"), 1e-9, 1e300, True, 10**400])
def test_no_shares(value: object) -> None:
    with pytest.raises(PydanticCustomError):
        Share.read(value)


@pytest.mark.parametrize(("text", "points"), [("+1%", 100), ("20%", 2000), ("+0.25 %", 25), ("+1000%", 100_000)])
def test_rises_may_have_a_sign(text: str, points: int) -> None:
    assert Rise.read(text) == points


@pytest.mark.parametrize("value", ["+-1%", "++1%", "-1%", "+1", 1, "1000.01%"])
def test_no_rises(value: object) -> None:
    with pytest.raises(PydanticCustomError):
        Rise.read(value)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("100/s", (100, 1000)), ("6000/m", (6000, 60_000)), ("1/h", (1, 3_600_000)), ("0/s", (0, 1000))],
)
def test_rates(text: str, rate: tuple[int, int]) -> None:
    read = Rate.read(text)
    assert (read.number, read.period) == rate


@pytest.mark.parametrize(
    "value", [100, "100", "100/", "1.5/s", "/s", "100 /s", "100/d", "100/sec", "-1/s", "10000000000/s", True, None]
)
def test_no_rates(value: object) -> None:
    with pytest.raises(PydanticCustomError):
        Rate.read(value)


@pytest.mark.parametrize("value", ["none", "101%", "125%", "1000%"])
def test_a_bound_on_the_load_of_hashing(value: str) -> None:
    assert str(HashBalance.read(value)) == value


@given(st.integers(0, 10_000))
def test_a_percentage_reads_what_it_prints(points: int) -> None:
    for kind in (Percent, Share, Rise):
        assert kind.read(str(kind(points))) == points


@given(st.integers(0, 10_000))
def test_a_number_and_text_are_the_same_share(points: int) -> None:
    assert Share.read(points / 100) == Share.read(f"{points / 100}") == Share.read(f"{points / 100}%") == points


@given(st.integers(0, 10**9), st.sampled_from("smh"))
def test_a_rate_reads_what_it_prints(number: int, unit: str) -> None:
    assert str(Rate.read(f"{number}/{unit}")) == f"{number}/{unit}"


@given(st.integers(200, 599), st.integers(200, 599))
def test_a_range_of_statuses_reads_what_it_prints(one: int, other: int) -> None:
    bounds = min(one, other), max(one, other)
    assert StatusRange.read(str(StatusRange(bounds))) == bounds


@given(st.text() | st.integers() | st.floats() | st.booleans() | st.none() | st.from_regex(r"\+?[0-9./%smhx-]{0,9}\Z"))
def test_anything_else_is_refused_in_our_words(value: object) -> None:
    for kind in KINDS:
        if (refusal := refusal_of(kind, value)) is not None:
            assert refusal.type == "refused"
            assert len(str(refusal).splitlines()) == 1


def refusal_of(kind: Any, value: object) -> PydanticCustomError | None:
    try:
        kind.read(value)
    except PydanticCustomError as error:
        return error
    return None
