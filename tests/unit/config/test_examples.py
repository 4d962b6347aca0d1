"""The examples are good configurations, and the manual names every key."""

from pathlib import Path

import pytest

from reviver.compile import FINGERPRINT, compile_plan, gather
from reviver.config import load_file
from reviver.config.models import Config
from reviver.config.positions import path_text

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.suffix in (".yaml", ".toml", ".json"))


def test_there_are_examples() -> None:
    assert {path.stem for path in EXAMPLES} >= {"reverse", "forward", "both", "header-rules", "tls"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_good_without_warnings(path: Path) -> None:
    loaded = load_file(path, {})
    assert loaded.warnings == ()
    inputs = gather(loaded)
    assert inputs.warnings == ()
    plan = compile_plan(loaded, inputs, fingerprint=FINGERPRINT)
    assert plan["listeners"]
    # it is meant to be tried: nothing of it needs root, and only a proxy with passwords is open to other machines
    for listener in plan["listeners"]:
        assert all(int(bind.rpartition(":")[2]) >= 1024 for bind in listener["bind"])
        loopback = all(bind.startswith("127.0.0.1:") for bind in listener["bind"])
        assert loopback or (plan["forward"] is not None and plan["forward"]["auth"] is not None)


def test_the_manual_names_every_key_of_the_top_level() -> None:
    manual = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for key in Config.model_fields:
        assert f"`{key}`" in manual, key


def test_key_paths_are_shown_as_one_would_write_them() -> None:
    assert path_text(("reverse", "routes", 0, "match", "host")) == "reverse.routes[0].match.host"
    assert path_text(("reverse", "pools", "a.b", "x y", "é")) == 'reverse.pools."a.b"."x y"."é"'
    assert path_text(()) == ""
