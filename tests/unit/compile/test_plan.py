"""The plan against the schema of the types that read it."""

import json
from pathlib import Path

import pytest

from reviver.compile import FINGERPRINT, Inputs, compile_plan
from reviver.config import load_mapping
from tests.support.cases import FOLDER, Case

ROOT = Path(__file__).resolve().parents[3]
CRATE = ROOT / "crates" / "reviver-plan"
GOOD = [path for path in sorted(FOLDER.glob("*.case")) if Case.read(path).plan is not None]


def test_the_fingerprint_is_that_of_the_schema() -> None:
    assert (CRATE / "plan.schema.sha").read_text().strip() == FINGERPRINT


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_every_plan_fits_the_schema(path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((CRATE / "plan.schema.json").read_text())
    _, plan = Case.read(path).run()
    jsonschema.Draft202012Validator(schema).validate(plan)


def test_a_plan_leaves_nothing_out() -> None:
    """The first rule of the plan: it is complete, so that no default can differ between the planes."""
    schema = json.loads((CRATE / "plan.schema.json").read_text())
    _, plan = Case.read(FOLDER / "forward_everything.case").run()
    assert plan is not None
    assert set(plan) == set(schema["properties"])
    assert set(plan["forward"]) == set(schema["$defs"]["Forward"]["properties"])
    assert set(plan["listeners"][0]) == set(schema["$defs"]["Listener"]["properties"])


@pytest.mark.parametrize("name", ["cache_both_directions", "cache_override"])
def test_nor_of_the_cache(name: str) -> None:
    schema = json.loads((CRATE / "plan.schema.json").read_text())
    _, plan = Case.read(FOLDER / f"{name}.case").run()
    assert plan is not None
    policy = plan["reverse"]["routes"][0]["cache"]
    tables = [("Cache", plan["cache"]), ("CachePolicy", policy), ("CacheKey", policy["key"])]
    tables += [("CacheOverride", override) for override in policy["overrides"]]
    if plan["cache"]["disk"] is not None:
        tables.append(("CacheDisk", plan["cache"]["disk"]))
    for kind, table in tables:
        assert set(table) == set(schema["$defs"][kind]["properties"]), kind


def test_the_pseudonym_is_stable_and_differs_by_machine_and_configuration() -> None:
    tree = {"listeners": {"web": {"bind": ":80", "role": "reverse"}}, "reverse": {"routes": [{"respond": {}}]}}

    def pseudonym(name: str, hostname: str) -> str:
        loaded = load_mapping(tree, name=name)
        return compile_plan(loaded, Inputs(hostname=hostname), fingerprint=FINGERPRINT)["via"]

    names = [pseudonym("a", "one"), pseudonym("b", "one"), pseudonym("a", "two")]
    assert len(set(names)) == 3
    assert pseudonym("a", "one") == names[0]
    assert "one" not in names[0].removeprefix("reviver-")
