import pytest

from reviver.config.environment import substitute

ENVIRONMENT = {"A": "one", "EMPTY": "", "TRICK": "${A}", "_x1": "y"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "one"),
        ("x${A}y${A}", "xoneyone"),
        ("${EMPTY}", ""),
        ("${EMPTY:-d}", "d"),
        ("${NONE:-}", ""),
        ("${NONE:-a:-b c}", "a:-b c"),
        ("${_x1}", "y"),
        ("${TRICK}", "${A}"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A $1 $$ $", "$A $1 $$ $"),
    ],
)
def test_substitution(text: str, expected: str) -> None:
    complaints: list[object] = []
    assert substitute({"k": (text,)}, ENVIRONMENT, lambda *found: complaints.append(found)) == {"k": (expected,)}
    assert complaints == []


@pytest.mark.parametrize("text", ["${NONE}", "${", "${}", "${1}", "${a b}", "${A", "x ${A} ${-}"])
def test_what_cannot_be_resolved_is_complained_about_and_left(text: str) -> None:
    complaints: list[object] = []
    assert substitute({"k": [1], "t": (text,)}, ENVIRONMENT, lambda path, *_: complaints.append(path))["t"] == (text,)
    assert complaints == [("t", 0)]


def test_keys_and_other_values_are_left_alone() -> None:
    data = {"${A}": 1, "b": True, "c": None, "d": 1.5}
    assert substitute(data, ENVIRONMENT, lambda *_: pytest.fail("no complaint expected")) == data
