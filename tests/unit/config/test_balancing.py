"""What the golden cases of pools, splits and limits (tests/cases/compile) do not say."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reviver.compile import FINGERPRINT, Inputs, compile_plan
from reviver.config import json_schema, load_file, load_mapping
from reviver.config.formats import parse
from reviver.config.models import Autopilot, Gate
from reviver.errors import ConfigurationError
from tests.support.cases import FOLDER, Case

NAMES = ("balance_*", "pools_*", "health*", "outlier*", "splits*", "gates*", "limits*")
GOOD = [
    case for name in NAMES for path in sorted(FOLDER.glob(f"{name}.case")) if (case := Case.read(path)).plan is not None
]


def tree(pool: dict[str, Any] | None = None, **splits: Any) -> dict[str, Any]:
    return {
        "listeners": {"web": {"bind": ":8080", "role": "reverse"}},
        "reverse": {
            "routes": [{"pool": "a"}],
            "pools": {
                "a": {"servers": ["127.0.0.1:9001"], **(pool or {})},
                "b": {"servers": ["127.0.0.1:9002"]},
                "c": {"servers": ["127.0.0.1:9003"]},
            },
            "splits": splits,
        },
    }


def reverse(written: dict[str, Any]) -> Any:
    return compile_plan(load_mapping(written), Inputs(), fingerprint=FINGERPRINT)["reverse"]


def refusals(written: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_mapping(written)
    return [f"{item.path}: {item.sentence}" for item in caught.value.diagnostics]


def autopilot(**keys: Any) -> Autopilot:
    config = load_mapping(tree(shop={"stable": "a", "canary": "b", "autopilot": keys or True})).config
    assert config.reverse is not None
    found = config.reverse.splits["shop"].autopilot
    assert found is not None
    return found


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.path.stem)
def test_an_editor_takes_what_the_program_takes(case: Case) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    data = json.loads(json.dumps(parse(case.configuration, Path(case.file).suffix).data))
    jsonschema.Draft202012Validator(json_schema()).validate(data)


@pytest.mark.parametrize(
    "pool",
    [{"panic": 5}, {"panic": "0.001%"}, {"balance": "leastconn"}, {"health": {"typ": "tcp"}},
     {"health": {"expect": 99}}, {"retry_budget": "all"}, {"outlier": 5}, {"sticky": "server"},
     {"hash_balance": "all"}],
    ids=str,
)  # fmt: skip
def test_an_editor_refuses_what_the_program_refuses(pool: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(tree(pool))
    assert refusals(tree(pool))


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=3))
def test_weights_are_taken_as_they_are_or_their_sum_is_said(points: list[int]) -> None:
    variants = {name: n / 100 for name, n in zip("abc", points, strict=False)}
    if sum(points) == 10_000:
        (split,) = reverse(tree(ab={"variants": variants}))["splits"]
        assert [variant["weight"] for variant in split["variants"]] == points
        assert [variant["name"] for variant in split["variants"]] == list(variants)
    else:
        (refusal,) = refusals(tree(ab={"variants": variants}))
        assert refusal.startswith("reverse.splits.ab.variants: the weights add up to ")


@given(st.integers(0, 10_000))
def test_what_the_canary_leaves_is_the_stable_versions(points: int) -> None:
    (split,) = reverse(tree(shop={"stable": "a", "canary": "b", "weight": f"{points / 100}%"}))["splits"]
    assert [(item["name"], item["weight"]) for item in split["variants"]] == [
        ("canary", points),
        ("stable", 10_000 - points),
    ]


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=6))
def test_steps_are_taken_only_if_they_grow(points: list[int]) -> None:
    steps = [f"{n / 100}%" for n in points]
    if points == sorted(set(points) - {0}):
        assert autopilot(steps=steps).weights == tuple(points)
    else:
        found = refusals(tree(shop={"stable": "a", "canary": "b", "autopilot": {"steps": steps}}))
        assert all(item.startswith("reverse.splits.shop.autopilot.steps[") for item in found)


def test_an_autopilot_without_a_word() -> None:
    plain = autopilot()
    assert plain.weights == (100, 500, 2500, 5000, 10_000)
    assert (plain.every, plain.min_requests, plain.confidence, plain.dry_run) == (60_000, 200, 9500, False)
    assert (plain.abort_on.error_rate, plain.abort_on.quantiles, plain.abort_on.status) == (100, {"p95": 2000}, {})
    assert (plain.gates.before, plain.gates.after, plain.webhooks) == ((), (), ())


def test_what_an_autopilot_aborts_on_is_what_is_written() -> None:
    found = autopilot(abort_on={"p99": "+50%", "p50": "10%", "status": {"4xx": "+5%", "429": "1%"}}).abort_on
    assert found.error_rate is None
    assert found.quantiles == {"p50": 1000, "p99": 5000}
    assert found.status == {"4xx": 500, "429": 100}


def test_a_gate_is_a_url_or_a_function_of_a_file() -> None:
    found = autopilot(gates={"before": "ops/gates.py:may_grow", "after": ["https://deploy.example:8443/x?y=a.py:b"]})
    (function,), (url,) = found.gates.before, found.gates.after
    assert (function, function.is_url, function.file, function.function) == (
        "ops/gates.py:may_grow", False, "ops/gates.py", "may_grow",
    )  # fmt: skip
    assert (url, url.is_url, url.file, url.function) == (Gate("https://deploy.example:8443/x?y=a.py:b"), True, "", "")


@pytest.mark.parametrize("secret", ["ffffffffffffff", 12345678901234567, ["ffffffffffffffffffff"], "f" * 15, True])
def test_a_secret_is_not_shown_whatever_is_wrong_with_it(secret: object) -> None:
    (refusal,) = refusals(tree({"sticky": {"cookie": "server", "secret": secret}}))
    assert refusal.startswith("reverse.pools.a.sticky.secret: is ")
    assert str(secret) not in refusal


def test_a_secret_is_not_shown_in_passing() -> None:
    loaded = load_mapping(tree({"sticky": {"cookie": "server", "secret": "0123456789abcdef"}}))
    assert "0123456789abcdef" not in repr(loaded)


def test_without_a_secret_there_is_one_that_a_reload_keeps() -> None:
    one, other = (reverse(tree({"sticky": {"cookie": name}}))["pools"][0]["sticky"] for name in ("x", "y"))
    assert one["secret"] == other["secret"]
    assert len(one["secret"]) >= 32


@pytest.mark.parametrize("word", ["x-user", "X-USER"])
def test_names_of_fields_have_no_case_and_names_of_cookies_do(word: str) -> None:
    header, cookie = (
        reverse(tree({"balance": "hash", "hash_on": f"{kind}:{word}"}))["pools"][0]["hash_on"]
        for kind in ("header", "cookie")
    )
    assert header == {"header": "x-user"}
    assert cookie == {"cookie": word}


def test_what_was_not_understood_is_not_compared(tmp_path: Path) -> None:
    """A default must not stand in for a value that is wrong: that would be a second, false, error."""
    path = tmp_path / "r.yaml"
    path.write_text(
        "listeners: {web: {bind: ':1', role: reverse}}\n"
        "reverse:\n  routes: [{pool: a, retry: {backoff: 1, max_backoff: 1ms}}]\n  pools:\n    a:\n"
        "      servers: [{address: 'a:1', max_connections: many}]\n"
        "      balance: hsh\n      hash_on: path\n      queue: {max: 1}\n"
        "      health: {type: gprc, every: 10, timeout: 9s, service: x}\n"
        "      outlier: {eject: 1, max_eject: 1s}\n"
        "      sticky: {cookie: s, secret: short}\n"
        "  splits: {s: {variants: {a: 50, b: half}}}\n"
    )
    with pytest.raises(ConfigurationError) as caught:
        load_file(path, {})
    assert [item.path.removeprefix("reverse.").removeprefix("pools.a.") for item in caught.value.diagnostics] == [
        "routes[0].retry.backoff",
        "servers[0].max_connections",
        "balance",
        "health.type",
        "health.every",
        "outlier.eject",
        "sticky.secret",
        "splits.s.variants.b",
    ]
