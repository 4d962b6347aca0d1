"""What the golden cases of the cache (tests/cases/compile/cache_*.case) do not say."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reviver.compile import FINGERPRINT, Inputs, compile_plan
from reviver.config import json_schema, load_file, load_mapping
from reviver.config.formats import parse
from reviver.errors import ConfigurationError
from tests.support.cases import FOLDER, Case

GOOD = [case for path in sorted(FOLDER.glob("cache_*.case")) if (case := Case.read(path)).plan is not None]
SUBSTITUTED = {"cache_environment"}
"""What an editor sees as text there is a switch when the environment is put in."""


def tree(**cache: Any) -> dict[str, Any]:
    route = {"pool": "api", "cache": cache or True}
    return {
        "listeners": {"web": {"bind": ":8080", "role": "reverse"}},
        "reverse": {"routes": [route], "pools": {"api": {"servers": ["127.0.0.1:9001"]}}},
    }


def policy(**cache: Any) -> Any:
    plan = compile_plan(load_mapping(tree(**cache)), Inputs(), fingerprint=FINGERPRINT)
    assert plan["reverse"] is not None
    return plan["reverse"]["routes"][0]["cache"]


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.path.stem)
def test_an_editor_takes_what_the_program_takes(case: Case) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    if case.path.stem in SUBSTITUTED:
        return
    data = json.loads(json.dumps(parse(case.configuration, Path(case.file).suffix).data))
    jsonschema.Draft202012Validator(json_schema()).validate(data)


@pytest.mark.parametrize(
    "cache",
    [{"ttl": 5}, {"tll": "5m"}, {"key": {"query": "all"}}, {"override": [{"ttl": "1m"}]}, {"bypass": {"paht": "/x"}}],
    ids=str,
)
def test_an_editor_refuses_what_the_program_refuses(cache: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(tree(**cache))
    with pytest.raises(ConfigurationError):
        load_mapping(tree(**cache))


def _range(first: int, length: int) -> str:
    return str(first) if length == 0 else f"{first}-{min(first + length, 599)}"


def _ambiguous(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether neither of two ranges with statuses in common is the narrower one."""
    common = set(range(a[0], a[1] + 1)) & set(range(b[0], b[1] + 1))
    return bool(common) and (a == b or len(common) not in (a[1] - a[0] + 1, b[1] - b[0] + 1))


@given(st.lists(st.builds(_range, st.integers(200, 599), st.integers(0, 120)), min_size=1, max_size=6, unique=True))
def test_of_the_ranges_that_hold_a_status_the_narrowest_counts(ranges: list[str]) -> None:
    written = {text: f"{number}s" for number, text in enumerate(ranges, 1)}
    bounds = {text: tuple(map(int, (text.split("-") * 2)[:2])) for text in ranges}
    if any(_ambiguous(a, b) for a, b in combinations(bounds.values(), 2)):
        with pytest.raises(ConfigurationError, match="overlaps|are the same statuses"):
            policy(ttl_by_status=written)
        return
    compiled = policy(ttl_by_status=written)["ttl_by_status"]
    for status in range(200, 600):
        fitting = [text for text, (first, last) in bounds.items() if first <= status <= last]
        wanted = min(fitting, key=lambda text: bounds[text][1] - bounds[text][0], default=None)
        found = next((item["ttl_ms"] for item in compiled if item["from"] <= status <= item["to"]), None)
        assert found == (None if wanted is None else int(written[wanted][:-1]) * 1000)


def test_a_disk_folder_is_found_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    settings = {**tree(), "cache": {"disk": {"path": "../objects"}}}
    (tmp_path / "conf" / "r.json").write_text(json.dumps(settings))
    monkeypatch.chdir(tmp_path)
    plan = compile_plan(load_file(Path("conf/r.json"), {}), Inputs(), fingerprint=FINGERPRINT)
    assert plan["cache"] is not None
    assert plan["cache"]["disk"] is not None
    assert plan["cache"]["disk"]["path"] == str(tmp_path / "objects")


@pytest.mark.parametrize("path", ["", ".", "..", "/", "a/..", "var/../..", "a\0b"])
def test_a_folder_that_cannot_be_the_caches_alone_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cache\.disk\.path"):
        load_mapping({**tree(), "cache": {"disk": {"path": path}}})


def test_what_is_wrong_in_the_only_table_of_a_list_stands_at_its_key(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "listeners: {web: {bind: ':1', role: reverse}}\n"
        "reverse:\n  pools: {a: {servers: ['a:1']}}\n  routes:\n    - pool: a\n      cache:\n"
        "        bypass:\n          path: /x\n          header: {x: 1}\n          method: [GET, get]\n"
    )
    with pytest.raises(ConfigurationError) as caught:
        load_file(path, {})
    assert [(item.line, item.path) for item in caught.value.diagnostics] == [
        (9, "reverse.routes[0].cache.bypass[0].header.x"),
        (10, "reverse.routes[0].cache.bypass[0].method[1]"),
    ]
