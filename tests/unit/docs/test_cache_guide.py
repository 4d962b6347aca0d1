"""The guide to the cache has what the program has: reasons, keys, fields, in both directions."""

import re
from pathlib import Path

import pytest

from reviver.cli.cache import command
from reviver.config.models import Cache, CachePolicy
from reviver.control.cache_expression import FIELDS, compiled

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "docs" / "cache.md").read_text(encoding="utf-8")
SOURCES = ROOT / "crates" / "reviver-cache" / "src"


def _names(source: str, enum: str) -> set[str]:
    """The names of one of the enums that a macro makes."""
    text = (SOURCES / source).read_text(encoding="utf-8")
    found = re.search(rf"^    {enum} \{{\n(.*?)^    \}}", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return set(re.findall(r'^        \w+ "(\w+)",$', found[1], re.MULTILINE))


def _section(heading: str) -> str:
    found = re.search(rf"^#+ {heading}\n(.*?)(?=^## )", GUIDE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def _first_cells(text: str) -> list[str]:
    return [name for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]


@pytest.mark.parametrize(
    ("heading", "enum", "count"), [("What is stored", "Refusal", 17), ("Why something was not a hit", "Why", 20)]
)
def test_each_reason_has_its_row(heading: str, enum: str, count: int) -> None:
    names = _names("reason.rs", enum)
    assert len(names) > count
    rows = _first_cells(_section(heading))
    assert sorted(rows) == sorted(names)


def test_each_basis_of_freshness_is_told() -> None:
    text = (SOURCES / "meta.rs").read_text(encoding="utf-8")
    bases = set(re.findall(r'Self::\w+ => "([\w-]+)",', text))
    assert len(bases) > 6
    told = {basis for basis in bases if f"| `{basis}` |" in _section("How long it is fresh")}
    assert told == bases


def test_fields_that_steer_servers_are_those_of_the_flow() -> None:
    source = (ROOT / "crates" / "reviver-flow" / "src" / "caching.rs").read_text(encoding="utf-8")
    found = re.search(r"^const STEERING: .*?\[\n(.*?)^\];", source, re.MULTILINE | re.DOTALL)
    assert found is not None
    steering = set(re.findall(r'b"([\w-]+)"', found[1]))
    paragraph = re.search(r"^Fields by which a client.*?\n\n", _section("Keys"), re.MULTILINE | re.DOTALL)
    assert paragraph is not None
    told = {name.lower() for name in re.findall(r"`([\w-]+)`", paragraph[0])}
    # `X-Forwarded-Prefix`, `-Path`: a name that begins with `-` goes on as the one before
    told = {f"x-forwarded{name}" if name.startswith("-") else name for name in told}
    of_trusted = {"x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"}
    assert told - {"forward", "vary", "headers"} == steering | of_trusted


def test_each_key_is_told() -> None:
    keys = {*Cache.model_fields, *CachePolicy.model_fields}
    assert sorted(key for key in keys if not re.search(rf"\b{key}\b", GUIDE)) == []


def test_expressions_have_the_fields_of_the_table() -> None:
    assert sorted(_first_cells(_section("Expressions"))) == sorted(FIELDS)


def test_expressions_that_are_shown_are_good() -> None:
    shown = [text for text in re.findall(r"--expression '(.*?)'", GUIDE) if "aeg" not in text]
    assert len(shown) == 3
    for text in shown:
        compiled(text)


def test_each_option_of_purge_is_told() -> None:
    purge = command.commands["purge"]
    options = {option for each in purge.params for option in each.opts} - {"--config", "--socket", "--json", "--help"}
    told = set(re.findall(r"^\| `(--\w+)", _section("Purge"), re.MULTILINE))
    assert told == options
