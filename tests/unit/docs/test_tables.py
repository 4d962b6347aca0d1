"""The pages that are made from tables say what the engine says."""

import json
import re
from pathlib import Path

import pytest

from reviver import _engine
from tools.generators import phases, reasons, rust_tables

ROOT = Path(__file__).resolve().parents[3]
ROW = r"(?P<name> \w+ ) \s+ (?P<number> \d+ )"


def _cells(text: str) -> dict[str, list[str]]:
    """The rows of all tables of a document, by their first cell."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): [cell.strip(" `") for cell in row[1:]] for row in rows}


def test_the_page_of_phases_is_the_table_of_the_engine() -> None:
    _, text = phases.generate(ROOT)
    shown = _cells(text)
    table = json.loads(_engine.phases())
    names = [phase["name"] for phase in table]
    assert [name for name in shown if name in names] == names
    for phase in table:
        side, verdicts, doc = shown[phase["name"]]
        assert side == phase["side"]
        assert verdicts.replace("`", "").split(", ") == phase["verdicts"]
        assert doc == phase["doc"].strip()


def test_the_page_of_reasons_is_the_table_of_the_engine() -> None:
    _, text = reasons.generate(ROOT)
    shown = _cells(text.split("\n## Details")[0])
    table = json.loads(_engine.reasons())
    assert shown.keys() == {reason["name"] for reason in table}
    for reason in table:
        status, error, sentence = shown[reason["name"]]
        assert (int(status or 0), error, sentence) == (reason["status"], reason["proxy_status"], reason["sentence"])


def test_every_variant_of_a_parse_error_is_on_the_page() -> None:
    _, text = reasons.generate(ROOT)
    source = (ROOT / "crates" / "reviver-http" / "src" / "error.rs").read_text(encoding="utf-8")
    slugs = re.findall(r'^    \w+ \d+ "(\w+)"', source, re.MULTILINE)
    assert len(slugs) > 30
    assert list(_cells(text.split("\n## Details")[1])) == slugs


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("things! {\n    One 1;\n    Two two;\n}\n", "a row of things! is not of the known form: Two two;"),
        ("things! {\n    // none yet\n}\n", "not of the known form: // none yet"),
        ("things! {\n}\n", "the table things! is empty"),
        ("others! {\n    One 1;\n}\n", "there is no table things!"),
    ],
)
def test_a_table_that_is_not_understood_is_an_error(tmp_path: Path, source: str, message: str) -> None:
    path = tmp_path / "table.rs"
    path.write_text(source)
    with pytest.raises(SystemExit, match=re.escape(message)):
        rust_tables.rows(path, "things", ROW)


def test_rows_may_go_over_several_lines(tmp_path: Path) -> None:
    path = tmp_path / "table.rs"
    path.write_text("macro_rules! things { () => {} }\n\nthings! {\n    One\n        1;\n    Two 2;\n}\n")
    assert rust_tables.rows(path, "things", ROW) == [{"name": "One", "number": "1"}, {"name": "Two", "number": "2"}]
