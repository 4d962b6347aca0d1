"""Expressions that select stored responses: what they become, and where they are wrong."""

import operator
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reviver.control import cache_expression
from reviver.control.cache_expression import ExpressionError, Node, compiled


def _is(field: str, op: str, value: object) -> Node:
    return {"field": field, "op": op, "value": value}


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("status == 404", _is("status", "eq", 404)),
        ("status != 200", _is("status", "ne", 200)),
        ("hits < 2", _is("hits", "lt", 2)),
        ("2 > hits", _is("hits", "lt", 2)),
        ("200 == status", _is("status", "eq", 200)),
        ("ttl < -5", _is("ttl", "lt", -5)),
        ('age >= "1h30m"', _is("age", "ge", 5400)),
        ('age <= "1500ms"', _is("age", "le", 1.5)),
        ("age > 1.0", _is("age", "gt", 1)),
        ('size > "1MiB"', _is("size", "gt", 1048576)),
        ("size > 1024", _is("size", "gt", 1024)),
        ('"shop" in tags', _is("tags", "contains", "shop")),
        ('"shop" not in groups', {"not": _is("groups", "contains", "shop")}),
        ('"/img/" in path', _is("path", "contains", "/img/")),
        ('host in ("a.example", "b.example")', _is("host", "in", ["a.example", "b.example"])),
        ("status in [301, 308]", _is("status", "in", [301, 308])),
        ('age in {"1m", 90}', None),
        ('path.startswith("/img/")', _is("path", "starts_with", "/img/")),
        ('url.endswith(".png")', _is("url", "ends_with", ".png")),
        (r'query.matches(r"(^|&)v=\d+")', _is("query", "matches", r"(^|&)v=\d+")),
        (r'matches(content_type, "^video/")', _is("content_type", "matches", "^video/")),
        ('stored_as == "disk"', _is("stored_as", "eq", "disk")),
        ("variant == 'é'", _is("variant", "eq", "é")),
        ("1 < age <= 9", {"all": [_is("age", "gt", 1), _is("age", "le", 9)]}),
        ("not status == 200", {"not": _is("status", "eq", 200)}),
        (
            'scheme == "https" and (hits == 0 or "x" in tags) and age > 5',
            {
                "all": [
                    _is("scheme", "eq", "https"),
                    {"any": [_is("hits", "eq", 0), _is("tags", "contains", "x")]},
                    _is("age", "gt", 5),
                ]
            },
        ),
        ("  (age > 1\n   and hits == 0)  ", {"all": [_is("age", "gt", 1), _is("hits", "eq", 0)]}),
    ],
)
def test_an_expression_becomes_nodes(text: str, node: Node | None) -> None:
    if node is None:
        node = _is("age", "in", [60, 90])
    assert compiled(text) == node


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("agee > 5", "^~~~", "column 1: there is no 'agee' (did you mean age?)"),
        (
            'status == 200 and "x" in tag',
            "                         ^~~",
            "column 26: there is no 'tag' (",
        ),
        ('"é" in host and zzz > 1', "                ^~~", "column 17: there is no 'zzz' (there are: url, scheme"),
        ('age > "abc"', "      ^~~~~", "column 7: 'abc' is not a duration (write a number and a unit"),
        ('size > "1 parsec"', "       ^~~~~~~~~~", "'1 parsec' is not a size"),
        ('status == "404"', "          ^~~~~", "status is compared with a number (write status == 404)"),
        ("status == True", "          ^~~~", "status is compared with a number"),
        ("hits == 1.5", "        ^~~", "hits is a whole number"),
        ("age > 1e400", "      ^~~~~", "this number is too large"),
        ("host == www", "        ^~~", """there is no 'www' (a text is written in quotes: "www")"""),
        ("host == 5", "        ^", "a text is needed here"),
        ("host == path", "        ^~~~", "path is compared with a value, not with another field"),
        ('host < "b"', "^~~~~~~~~~", "host is a text"),
        ('tags == "x"', "^~~~~~~~~~~", """tags is a list (write "x" in tags)"""),
        ("tags", "^~~~", "tags alone is not a condition"),
        ("host = 'a'", "     ^", "column 6: nothing can be assigned here (did you mean ==?)"),
        ("age > 1 && hits > 1", "        ^~", "(write and, or, not)"),
        ("age > 5 and", "          ^", "column 11: the expression ends too early"),
        ("(age > 5", "^", "'(' was never closed"),
        ('host == "a', "        ^", "unterminated string literal"),
        ("", "^", "column 1: there is no expression"),
        ("5", "^", "this is not a condition"),
        ('stored_as == "ram"', "             ^~~~~", """(it is "memory" or "disk")"""),
        ('path.startwith("/x")', "     ^~~~~~~~~", "(did you mean startswith?)"),
        ("path.startswith()", "^~~~~~~~~~~~~~~~~", "startswith takes one text"),
        ('__import__("os").system("true")', "                 ^~~~~~", "there is no 'system' to call"),
        ('path.matches("(")', "             ^~~", "is not a usable regular expression: unclosed group"),
        ('path.matches("(?=x)")', "             ^~~~~~~", "is not a usable regular expression"),
        (r'path.matches("\bx")', "             ^~~~~", 'write patterns with backslashes as r"..."'),
        ("host in ()", "        ^~", "nothing is in an empty list"),
        ("not " * 60 + "age > 1", None, "too much is nested here"),
        ("(" * 2500 + "age > 1" + ")" * 2500, None, "an expression is at most 4000 characters"),
        ("(" * 1500 + "age > 1" + ")" * 1500, None, "column "),
        ("\udcff", None, "this is not an expression"),
        (r'host == "\udcff"', "        ^~~~~~~~", "this text has a character that is none"),
        ("x\x00y", None, "column 2: this character is none"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, line: str | None, said: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        compiled(text)
    assert said in str(raised.value)
    if line is not None:
        assert raised.value.caret() == f"{text}\n{line}"


def test_the_line_that_is_wrong_is_shown() -> None:
    with pytest.raises(ExpressionError) as raised:
        compiled("(age > 5\n and hitz == 0)")
    assert str(raised.value) == "line 2, column 6: there is no 'hitz' (did you mean hits?)"
    assert raised.value.caret() == " and hitz == 0)\n     ^~~~"


PIECES = [
    *cache_expression.FIELDS, "and", "or", "not", "in", "==", "!=", "<", ">=", "(", ")", "[", ",", ".", "startswith",
    "matches", '"x"', "'5m'", "404", "-", "1e999", "lambda", ":", "=", ":=", "é", "\n", "\\", "f'", "if", "else", "*",
    "**", "await", "#", "\x0c", "\r", "\x00", "\ud800", "0x", "@", "!", "&&", "None", "True", "{", "}", "is",
]  # fmt: skip


@given(text=st.text(max_size=40) | st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join))
def test_any_text_is_nodes_or_one_error_with_a_place(text: str) -> None:
    try:
        assert compiled(text)
    except ExpressionError as found:
        error = found
    else:
        return
    line, mark = error.caret().split("\n")
    assert 1 <= error.column == mark.index("^") + 1 <= len(line) + 1
    assert "\n" not in str(error)


# ---- expressions mean what Python says that they mean

OPS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
    "contains": operator.contains, "starts_with": str.startswith, "ends_with": str.endswith,
    "in": lambda held, values: held in values, "matches": lambda held, pattern: re.search(pattern, held) is not None,
}  # fmt: skip


def _holds(node: Node, record: dict[str, Any]) -> bool:
    if "all" in node:
        return all(_holds(part, record) for part in node["all"])
    if "any" in node:
        return any(_holds(part, record) for part in node["any"])
    if "not" in node:
        return not _holds(node["not"], record)
    return OPS[node["op"]](record[node["field"]], node["value"])


WORDS = st.sampled_from(["a", "ab", "b", "/a", ""])
NUMBERS = st.integers(-3, 3)
RECORDS = st.fixed_dictionaries(
    {"host": WORDS, "path": WORDS, "tags": st.lists(WORDS), "age": NUMBERS, "hits": NUMBERS}
)
SIGNS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
TEXT_FIELDS, NUMBER_FIELDS = st.sampled_from(["host", "path"]), st.sampled_from(["age", "hits"])
CONDITIONS = st.one_of(
    st.builds("{} {} {}".format, NUMBER_FIELDS, SIGNS, NUMBERS),
    st.builds("{} {} {} {} {}".format, NUMBERS, SIGNS, NUMBER_FIELDS, SIGNS, NUMBERS),
    st.builds("{} {} {!r}".format, TEXT_FIELDS, st.sampled_from(["==", "!="]), WORDS),
    st.builds("{!r} {} {}".format, WORDS, st.sampled_from(["in", "not in"]), st.sampled_from(["tags", "host", "path"])),
    st.builds("{} {} {!r}".format, TEXT_FIELDS, st.sampled_from(["in", "not in"]), st.lists(WORDS, min_size=1)),
    st.builds("{}.{}({!r})".format, TEXT_FIELDS, st.sampled_from(["startswith", "endswith"]), WORDS),
)
EXPRESSIONS = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.builds("not {}".format, inner),
        st.builds("({} and {})".format, inner, inner),
        st.builds("{} or {}".format, inner, inner),
    ),
    max_leaves=8,
)


@given(text=EXPRESSIONS, record=RECORDS)
def test_nodes_hold_where_python_says_so(text: str, record: dict[str, Any]) -> None:
    assert _holds(compiled(text), record) is bool(eval(text, {"__builtins__": {}}, record))
