"""Every whole configuration that a document shows is a good one."""

import re
from pathlib import Path

import pytest

from reviver.compile import FINGERPRINT, compile_plan, gather
from reviver.config import load_file
from tests.support.pem import NOW, certificate, ec_key, key_text

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
GUIDES = ("certificates", "discovery", "forward", "http2", "proxy-protocol", "reverse", "tls")
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = ("users.htpasswd",)
"""What the configurations refer to; the examples have one of each."""
CERTIFICATES = re.compile(r"(?<![\w./-])\w[\w/.-]*\.(?:pem|key)\b")
KEY = ec_key()
PAIR = certificate(KEY, "example.com", authority=True), key_text(KEY)


def _configurations() -> list[tuple[str, str]]:
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            if re.search(r"^listeners:", block[1], re.MULTILINE):
                line = text.count("\n", 0, block.start()) + 2
                found.append((f"{document.relative_to(ROOT)}:{line}", block[1]))
    return found


CONFIGURATIONS = _configurations()


def test_readme_and_guides_show_configurations() -> None:
    documents = {place.split(":")[0] for place, _ in CONFIGURATIONS}
    assert documents >= {"README.md", *(f"docs/{name}.md" for name in GUIDES)}


@pytest.mark.parametrize("text", [pytest.param(text, id=place) for place, text in CONFIGURATIONS])
def test_a_configuration_is_good_without_warnings(text: str, tmp_path: Path) -> None:
    path = tmp_path / "reviver.yaml"
    path.write_text(text, encoding="utf-8")
    for name in FILES:
        (tmp_path / name).write_bytes((ROOT / "examples" / name).read_bytes())
    # whatever certificate, key or authority it names: one key for all of them fits
    for name in CERTIFICATES.findall(text):
        made = PAIR[1] if name.endswith(".key") else PAIR[0]
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(made, encoding="utf-8")
    loaded = load_file(path, {})
    assert loaded.warnings == ()
    plan = compile_plan(loaded, gather(loaded, now=NOW), fingerprint=FINGERPRINT)
    assert plan["listeners"]


def test_the_readme_keeps_its_promise_of_eight_lines() -> None:
    text = next(text for place, text in CONFIGURATIONS if place.startswith("README.md"))
    assert len(text.splitlines()) == 8
