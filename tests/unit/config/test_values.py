from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from reviver.config.models.base import BoundedSize
from reviver.config.values import Address, Duration, PortRange, Size, shown


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("250ms", 250), ("5s", 5000), ("2m", 120_000), ("1h", 3_600_000), ("7d", 604_800_000), ("1m30s", 90_000),
     ("1.5s", 1500), ("0s", 0)],
)  # fmt: skip
def test_durations(text: str, milliseconds: int) -> None:
    assert Duration.read(text) == milliseconds


@pytest.mark.parametrize("value", [5, 5.0, True, "5", "5 s", "s", "", "5S", "-5s", "1e3s", "9999999d", "5s ", None, []])
def test_no_durations(value: object) -> None:
    with pytest.raises(PydanticCustomError):
        Duration.read(value)


@pytest.mark.parametrize(
    ("value", "size"),
    [("64KiB", 65536), ("10MiB", 10 * 2**20), ("1GiB", 2**30), ("1.5 MiB", 1572864), ("5MB", 5_000_000), ("1kB", 1000),
     ("12B", 12), (4096, 4096), ("4096", 4096)],
)  # fmt: skip
def test_sizes(value: object, size: int) -> None:
    assert Size.read(value) == size


@pytest.mark.parametrize("value", [1.5, True, "64KB!", "64K", "64kib", "-1", -1, "", "99999999TiB", None, "1" * 30])
def test_no_sizes(value: object) -> None:
    with pytest.raises(PydanticCustomError):
        Size.read(value)


def test_none_is_a_size_only_where_no_bound_is_allowed() -> None:
    assert (BoundedSize.read("none"), str(BoundedSize(0))) == (0, "none")
    with pytest.raises(PydanticCustomError):
        Size.read("none")


@given(st.integers(min_value=0, max_value=Duration.most))
def test_a_duration_reads_what_it_prints(value: int) -> None:
    assert Duration.read(str(Duration(value))) == value


@given(st.integers(min_value=0, max_value=2**62))
def test_a_size_reads_what_it_prints(value: int) -> None:
    printed = str(Size(value))
    assert Size.read(printed) == value or value > 2**53


@given(st.text() | st.integers() | st.floats() | st.booleans() | st.none())
def test_anything_else_is_refused_in_our_words(value: object) -> None:
    for kind in (Duration, Size, PortRange, Address):
        if (refusal := refusal_of(kind, value)) is not None:
            assert refusal.type == "refused"
            assert len(str(refusal).splitlines()) == 1


def refusal_of(kind: Any, value: object) -> PydanticCustomError | None:
    try:
        kind.read(value)
    except PydanticCustomError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:80", "127.0.0.1", 80),
        ("App.Example:8080", "app.example", 8080),
        ("[2001:DB8::0:1]:1", "2001:db8::1", 1),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    address = Address.read(text)
    assert (address.host, address.port) == (host, port)
    assert Address.read(str(address)) == address


@pytest.mark.parametrize(
    "text", ["a:0", "a:65536", "a", ":1", "a:b", "[::1]", "[x]:1", "::1", "a/b:1", "-a:1", "1.2.3:4"]
)
def test_no_addresses(text: str) -> None:
    with pytest.raises(PydanticCustomError):
        Address.read(text)


def test_ranges_of_ports() -> None:
    ranges = [PortRange.read(value) for value in (443, "443", "8000-8999")]
    assert ranges == [(443, 443), (443, 443), (8000, 8999)]
    assert list(map(str, ranges)) == ["443", "443", "8000-8999"]


def test_values_are_quoted_on_one_short_line() -> None:
    assert shown("a\nb\x1b[31m") == r"'a\x0ab\x1b[31m'"
    assert len(shown("x" * 10_000)) < 70


def test_what_may_be_a_key_is_never_quoted() -> None:
    assert shown("-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqG") == "PEM text"
