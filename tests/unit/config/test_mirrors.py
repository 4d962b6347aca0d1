"""What the golden cases of mirrors, priorities and bounds (tests/cases/compile) do not say."""

import json
from pathlib import Path
from typing import Any

import pytest

from reviver.compile import FINGERPRINT, Inputs, compile_plan
from reviver.config import Loaded, json_schema, load_mapping
from reviver.config.formats import parse
from reviver.errors import ConfigurationError
from tests.support.cases import FOLDER, Case

NAMES = ("mirrors*", "overload*", "connections_per_client*", "hedge*")
GOOD = [
    case for name in NAMES for path in sorted(FOLDER.glob(f"{name}.case")) if (case := Case.read(path)).plan is not None
]


def tree(
    route: dict[str, Any] | None = None,
    *,
    pool: dict[str, Any] | None = None,
    split: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A route, the pool `a` that answers it, a pool `b` beside it, and a split of both that another route takes."""
    return {
        "listeners": {"web": {"bind": ":8080", "role": "reverse"}},
        "limits": limits or {},
        "reverse": {
            "routes": [{"match": {"path": "/r"}, "pool": "a", **(route or {})}, {"split": "s"}],
            "pools": {
                "a": {"servers": ["127.0.0.1:9001"], **(pool or {})},
                "b": {"servers": ["127.0.0.1:9002"]},
                "c": {"servers": ["127.0.0.1:9003"]},
            },
            "splits": {"s": {"stable": "a", "canary": "b", **(split or {})}},
        },
    }


def loaded(written: dict[str, Any]) -> Loaded:
    return load_mapping(written)


def refusals(written: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_mapping(written)
    return [f"{item.path}: {item.sentence}" for item in caught.value.diagnostics]


def warnings(written: dict[str, Any]) -> list[str]:
    return [f"{item.path}: {item.sentence}" for item in loaded(written).warnings]


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.path.stem)
def test_an_editor_takes_what_the_program_takes(case: Case) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    data = json.loads(json.dumps(parse(case.configuration, Path(case.file).suffix).data))
    jsonschema.Draft202012Validator(json_schema()).validate(data)


@pytest.mark.parametrize(
    "written",
    [
        {"route": {"mirror": 5}},
        {"route": {"mirror": {"percent": "5%"}}},
        {"route": {"mirror": {"to": "b", "compare": {"status": True}}}},
        {"route": {"priority": "urgent"}},
        {"split": {"mirror": 10}},
        {"split": {"mirror": {"to": "c"}}},
        {"pool": {"adaptive": 5}},
        {"pool": {"adaptive": {"tolerance": "50%"}}},
        {"limits": {"connections_per_client": []}},
    ],
    ids=str,
)
def test_an_editor_refuses_what_the_program_refuses(written: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(tree(**written))
    assert refusals(tree(**written))


@pytest.mark.parametrize("mirror", [{"route": {"mirror": "c"}}, {"split": {"mirror": {"percent": "1%", "to": "c"}}}])
def test_a_pool_that_gets_copies_is_used(mirror: dict[str, Any]) -> None:
    assert warnings(tree()) == ["reverse.pools.c: no route uses this pool"]
    assert warnings(tree(**mirror)) == []


def test_a_split_is_mirrored_to_its_canary() -> None:
    plan: Any = compile_plan(loaded(tree(split={"mirror": "0.01%"})), Inputs(), fingerprint=FINGERPRINT)
    mirror = plan["reverse"]["splits"][0]["mirror"]
    assert (mirror["pool"], mirror["percent"]) == (1, 1)


def test_a_wrong_canary_is_said_once() -> None:
    assert refusals(tree(split={"canary": "bb", "mirror": "1%"})) == ["reverse.splits.s.canary: there is no pool bb"]


def test_a_wrong_pool_of_a_mirror_beside_variants_is_said_once() -> None:
    split = {"variants": {"a": 50, "b": 50}, "mirror": {"percent": "1%", "to": 5}}
    written = tree()
    written["reverse"]["splits"]["s"] = split
    assert refusals(written) == ["reverse.splits.s.mirror.to: '5' is not text"]


@pytest.mark.parametrize("bound", [{"max_requests": "lots"}, {"adaptive": {"min": 0}}])
def test_a_priority_is_not_said_to_be_idle_beside_a_bound_that_is_wrong(bound: dict[str, Any]) -> None:
    (refusal,) = refusals(tree({"priority": "low"}, pool=bound))
    assert refusal.startswith("reverse.pools.a.")


@pytest.mark.parametrize("bound", [{"max_requests": 10}, {"adaptive": True}])
def test_a_priority_goes_by_either_bound(bound: dict[str, Any]) -> None:
    idle = "reverse.routes[0].priority: nothing is refused by it: a has no bound"
    assert idle in warnings(tree({"priority": "low"}))
    assert idle not in warnings(tree({"priority": "low"}, pool=bound))


def test_bounds_of_adaptive_that_are_equal_are_one_bound() -> None:
    assert not any("adaptive" in line for line in warnings(tree(pool={"adaptive": {"min": 7, "max": 7}})))
    assert refusals(tree(pool={"adaptive": {"min": 1001}})) == [
        "reverse.pools.a.adaptive.min: 1001 is more than max (1000)"
    ]
