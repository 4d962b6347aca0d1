"""What the guides say of limits, reasons and details is what the program has."""

import json
import re
from pathlib import Path

import pytest

from reviver import _engine
from reviver.compile import FINGERPRINT, compile_plan, gather
from reviver.config import load_file
from reviver.config.models import Limits
from reviver.config.models.logs import RECORD_FIELDS
from reviver.config.values import Size
from tests.support.pem import NOW, certificate, ec_key

ROOT = Path(__file__).resolve().parents[3]
REASONS = {reason["name"] for reason in json.loads(_engine.reasons())}
ENGINE = ROOT / "crates" / "reviver-engine" / "src"
OF_HTTP2 = ("streams", "stream_resets", "stream_errors", "control_frames", "continuations", "stalls")


def _columns(document: str, heading: str) -> list[str]:
    """The cells below this heading, in all tables of a guide."""
    cells: list[str] = []
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
        place = next((number for number, cell in enumerate(head) if re.match(heading, cell)), None)
        cells += [] if place is None else [row[place] for row in rows]
    return cells


def _words(cells: list[str]) -> set[str]:
    return {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}


def test_the_guide_to_http2_has_each_limit_of_it_with_its_default() -> None:
    said = dict(zip(_columns("http2.md", "limit$"), _columns("http2.md", "default$"), strict=True))
    limits = Limits()
    assert {f"`limits.{name}`" for name in OF_HTTP2} <= said.keys()
    for name in OF_HTTP2:
        assert said[f"`limits.{name}`"].split()[0] == str(getattr(limits, name)), name
    assert limits.stream_window == Size.read("256KiB")
    assert "`limits.stream_window` (256 KiB)" in (ROOT / "docs" / "http2.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", ["http2.md", "tls.md"])
def test_reasons_that_a_guide_names_are_reasons(document: str) -> None:
    named = _words(_columns(document, r"reason|\[reason\]")) - {"detail", "timeout"}
    assert len(named) > 4
    assert named <= REASONS


@pytest.mark.parametrize("document", ["proxy-protocol.md", "tls.md"])
def test_details_that_a_guide_names_are_told_by_the_engine(document: str) -> None:
    source = "".join(path.read_text() for path in (ENGINE / "greeting.rs", *sorted((ENGINE / "tls").glob("*.rs"))))
    details = _words(_columns(document, "detail$")) - {"protocol"}
    assert len(details) > 8
    assert sorted(detail for detail in details if f'"{detail}"' not in source) == []


def test_what_an_example_leaves_to_be_tried_is_good_too(tmp_path: Path) -> None:
    """Each key that stands there behind a `#`."""
    text = (ROOT / "examples" / "http2-grpc.yaml").read_text(encoding="utf-8")
    key = r"(?:client_ca|client_certificate|proxy_protocol|trusted_proxies): |- \{name: "
    tried, count = re.subn(rf"^( *)# (?={key})", r"\1", text, flags=re.MULTILINE)
    assert count == 6
    path = tmp_path / "reviver.yaml"
    path.write_text(tried, encoding="utf-8")
    (tmp_path / "staff-ca.pem").write_text(certificate(ec_key(), "staff", authority=True), encoding="utf-8")
    loaded = load_file(path, {})
    assert loaded.warnings == ()
    plan = compile_plan(loaded, gather(loaded, now=NOW), fingerprint=FINGERPRINT)
    (listener,) = plan["listeners"]
    assert listener["proxy_protocol"]
    assert listener["tls"] is not None
    assert listener["tls"]["client"] is not None


def test_a_template_takes_every_key_that_a_record_has() -> None:
    keys = re.search(r"^keys! \{\n(.*?)^\}", (ENGINE / "log" / "format" / "values.rs").read_text(), re.M | re.S)
    assert keys is not None
    written = re.findall(r'"(\w+)";', keys[1])
    assert list(RECORD_FIELDS) == written
    assert re.findall(r"`(\w+)`", " ".join(_columns("logs.md", "key$"))) == written
