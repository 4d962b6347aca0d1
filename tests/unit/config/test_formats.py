"""Places and texts at which readers go wrong; what is common is in tests/cases/compile."""

from typing import Any

import pytest

from reviver.config.formats import TextError, parse
from reviver.config.formats.document import MAX_DEPTH
from reviver.config.positions import Mark

YAML = """\
# a comment
plain: 1
"quoted key": {flow: [a, {b: c}]}
block:
  - x
  -
    deep: |
      text
    e: ''
"""
YAML_MARKS = {
    ("plain",): (2, 8),
    ("quoted key",): (3, 1),
    ("quoted key", "flow"): (3, 16),
    ("quoted key", "flow", 0): (3, 23),
    ("quoted key", "flow", 1): (3, 26),
    ("quoted key", "flow", 1, "b"): (3, 30),
    ("block",): (4, 1),
    ("block", 0): (5, 5),
    ("block", 1): (7, 5),
    ("block", 1, "deep"): (7, 11),
}
JSON = '{"é": "ü", "list": [1,\n\t{"a\\"b": null}],\n\t"t": {}\n}'
JSON_MARKS = {
    ("é",): (1, 7),
    ("list",): (1, 12),
    ("list", 0): (1, 21),
    ("list", 1): (2, 2),
    ("list", 1, 'a"b'): (2, 11),
    ("t",): (3, 2),
}
TOML = """\
a = 1
b.c = "x" # é
[t]
"q k" = [1, {z = 2}]
[t.u]
v = [
  1,
  # comment
  2]
[[r]]
n = 1
[[r]]
[r.sub]
n = 3
[[r.list]]
n = 4
"""
TOML_MARKS = {
    ("a",): (1, 5),
    ("b",): (2, 1),
    ("b", "c"): (2, 7),
    ("t",): (3, 2),
    ("t", "q k"): (4, 1),
    ("t", "q k", 1): (4, 13),
    ("t", "q k", 1, "z"): (4, 18),
    ("t", "u"): (5, 4),
    ("t", "u", "v", 1): (9, 3),
    ("r",): (10, 3),
    ("r", 0): (10, 3),
    ("r", 0, "n"): (11, 5),
    ("r", 1): (12, 3),
    ("r", 1, "sub"): (13, 4),
    ("r", 1, "sub", "n"): (14, 5),
    ("r", 1, "list", 0, "n"): (16, 5),
}


@pytest.mark.parametrize(
    ("text", "suffix", "expected"),
    [(YAML, ".yaml", YAML_MARKS), (JSON, ".json", JSON_MARKS), (TOML, ".toml", TOML_MARKS)],
    ids=["yaml", "json", "toml"],
)
def test_places(text: str, suffix: str, expected: dict[Any, tuple[int, int]]) -> None:
    document = parse(text, suffix)
    assert {path: tuple(document.marks[path]) for path in expected} == expected


@pytest.mark.parametrize(("text", "suffix"), [(YAML, ".yaml"), (JSON, ".json"), (TOML, ".toml")])
def test_every_value_has_a_place(text: str, suffix: str) -> None:
    document = parse(text, suffix)

    def walk(value: Any, path: tuple[str | int, ...]) -> None:
        assert path in document.marks
        if isinstance(value, dict):
            for key, item in value.items():
                assert (*path, key) in document.keys
                walk(item, (*path, key))
        elif isinstance(value, tuple):
            for index, item in enumerate(value):
                walk(item, (*path, index))

    walk(document.data, ())
    assert len(document.marks) > 5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"), ("yes", "yes"), ("on", "on"), ("22:30", "22:30"), ("1_000", "1_000"), ("0b1", "0b1"),
        ("2020-01-01", "2020-01-01"), ("010", 10), ("0o10", 8), ("0x1F", 31), ("-3", -3), ("1e3", 1000.0),
        ("true", True), ("False", False), ("~", None), ("null", None), ("'1'", "1"), ('"true"', "true"), ("! 5", "5"),
        ("!!str 5", "5"), ("!!int '5'", 5), (".5", 0.5), ("1.", 1.0), ("<<", "<<"), ("=", "="), ("0.1.2", "0.1.2"),
    ],
)  # fmt: skip
def test_yaml_scalars_are_those_of_the_core_schema(text: str, value: object) -> None:
    result = parse(f"key: {text}", ".yaml").data["key"]
    assert (result, type(result)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "suffix", "sentence", "mark"),
    [
        ("a: *b", ".yaml", "there is no anchor &b before this alias", (1, 4)),
        ("a: &a [*a]", ".yaml", "there is no anchor &a before this alias", (1, 8)),
        ("? [a]\n: b", ".yaml", "a key is a table or a list", (1, 3)),
        ("<<: 5", ".yaml", "<<: takes a table or a list of tables", (1, 5)),
        ("a: !!int x", ".yaml", "this is not of the type int that its tag claims", (1, 4)),
        ("a: x\0y", ".yaml", "the character U+0000 is not allowed in YAML", (1, 5)),
        ("a: \x1b", ".yaml", "the character U+001B is not allowed in YAML", (1, 4)),
        ("a: " + "1" * 5000, ".yaml", "this number is too long", (1, 4)),
        ('{"a": 1 "b": 2}', ".json", "JSON: expecting ',' delimiter", (1, 9)),
        ('{"s": "NaN", "a": NaN}', ".json", "JSON: NaN is not a JSON value", (1, 19)),
        ("", ".json", "JSON: expecting value", (1, 1)),
        ("a = \n", ".toml", "TOML: invalid value", (1, 5)),
        ("a = 1\na = 2", ".toml", "TOML: cannot overwrite a value", (2, 6)),
        ("a = [1", ".toml", "TOML: unclosed array", (1, 7)),
    ],
)
def test_a_text_that_is_not_of_its_format_is_refused_at_its_place(
    text: str, suffix: str, sentence: str, mark: tuple[int, int]
) -> None:
    with pytest.raises(TextError) as caught:
        parse(text, suffix)
    assert caught.value.sentence.startswith(sentence)
    assert caught.value.mark == Mark(*mark)


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("- " * 100_000 + "x", ".yaml"),
        ("[" * 1000 + "]" * 1000, ".yaml"),
        ("[" * 100_000 + "]" * 100_000, ".json"),
        ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), ".json"),
        ("a = " + "[" * 100_000 + "]" * 100_000, ".toml"),
        ("a = " + "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), ".toml"),
    ],
    ids=["yaml block", "yaml flow", "json", "json just too deep", "toml", "toml just too deep"],
)
def test_deep_nesting_is_refused_before_it_can_hurt(text: str, suffix: str) -> None:
    with pytest.raises(TextError, match="nested deeper than"):
        parse(text, suffix)


def test_merge_keys_cannot_blow_a_document_up() -> None:
    lines = ["a0: &a0 {k: 1}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, 12)]
    with pytest.raises(TextError, match="aliases blow this document up"):
        parse("\n".join(lines), ".yaml")


def test_the_nearest_value_wins_in_a_merge() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {<<: *a, y: 2, z: 2}\nc: {z: 3, <<: [*b, *a]}"
    assert parse(text, ".yaml").data["c"] == {"z": 3, "y": 2, "x": 1}
