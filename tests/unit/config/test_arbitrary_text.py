"""Whatever a file holds: it is loaded, or refused with diagnostics that print on one line each."""

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reviver.compile import FINGERPRINT, Inputs, compile_plan
from reviver.config import load_file, load_mapping
from reviver.errors import ConfigurationError

SUFFIXES = [".yaml", ".json", ".toml"]
CALM = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])

KEYS = st.sampled_from(
    ["listeners", "reverse", "routes", "pools", "servers", "forward", "match", "host", "path", "pool", "bind", "role",
     "logs", "to", "limits", "timeout", "head", "web", "api", "auth", "basic", "header", "respond", "status", "x-a",
     "tls", "automatic", "domains", "internal", "certificates", "certificate", "client_certificate", "hsts", "insecure",
     "balance", "hash_on", "hash_balance", "sticky", "cookie", "secret", "health", "type", "expect", "every", "outlier",
     "success_rate", "panic", "queue", "retry_budget", "splits", "split", "stable", "canary", "variants", "weight",
     "force", "autopilot", "steps", "abort_on", "gates", "before", "limit", "rate", "by", "retry", "backoff"]
)  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from([":80", "reverse", "forward", "api", "/*", "~(", "*.a.b", "5s", "1KiB", "${A}", "10.0.0.0/8",
                      "hash", "header:", "cookie:a", "5%", "+1%", "100/s", "5xx", "gates.py:ok", "none", "http"])
)  # fmt: skip
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=25
)


def check(raw: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"r{suffix}")
        path.write_bytes(raw)
        with refused_properly():
            load_file(path, {"A": "a"})


class refused_properly(contextlib.AbstractContextManager[None]):
    """Lets a ConfigurationError pass whose diagnostics can be printed; everything else is a failure."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, ConfigurationError):
            return False
        assert error.diagnostics
        for diagnostic in error.diagnostics:
            text = str(diagnostic).encode()
            assert len(text.splitlines()) == 1, text
        return True


@pytest.mark.parametrize("suffix", SUFFIXES)
@CALM
@given(raw=st.binary(max_size=200))
@example(raw=b"\xff\xfe\x00")
@example(raw=b"%YAML 9.9\n---\n")
@example(raw=b"a: !<x y> z")
@example(raw=b'{"a": "\\ud800"}')
@example(raw=b'a: "\\ud800"')
@example(raw=b"\xef\xbb\xbf\xef\xbb\xbf")
@example(raw=b"9" * 5000)
@example(raw=b"a = " + b"9" * 5000)
@example(raw=b"? \n? \n")
@example(raw=b"- &a\n- *a\n...\n...\n")
def test_arbitrary_bytes(suffix: str, raw: bytes) -> None:
    check(raw, suffix)


@pytest.mark.parametrize("suffix", SUFFIXES)
@CALM
@given(text=st.text(alphabet="{}[]:,-*&!?|>'\"%@`#=. \n\t\\abut01\u2028\x85é", max_size=60))
def test_arbitrary_punctuation(suffix: str, text: str) -> None:
    check(text.encode(), suffix)


@CALM
@given(tree=st.dictionaries(KEYS, TREES, max_size=5))
def test_arbitrary_trees(tree: dict[str, Any]) -> None:
    with refused_properly():
        load_mapping(tree)
    with contextlib.suppress(ValueError):
        check(json.dumps(tree, allow_nan=False).encode(), ".json")


@CALM
@given(
    routes=st.lists(
        st.fixed_dictionaries(
            {"pool": st.just("api")},
            optional={
                "limit": st.sampled_from(["1/s", {"rate": "2/m", "by": "route"}, [{"rate": "1/h"}, {"rate": "0/s"}]]),
                "match": st.fixed_dictionaries(
                    {},
                    optional={
                        "path": st.sampled_from(["/a", "/a/*", "*", "~^/x"]),
                        "host": st.sampled_from(["a.example", "*.example"]),
                        "method": st.lists(st.sampled_from(["GET", "PUT"]), max_size=2),
                        "query": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
                    },
                ),
                "retry": st.fixed_dictionaries({"attempts": st.integers(0, 4)}),
            },
        ),
        max_size=4,
    )
)
def test_what_is_loaded_can_be_compiled(routes: list[dict[str, Any]]) -> None:
    tree = {
        "listeners": {"web": {"bind": ":80", "role": "reverse"}},
        "reverse": {"routes": routes, "pools": {"api": {"servers": ["127.0.0.1:1"]}}},
    }
    with refused_properly():
        loaded = load_mapping(tree)
        plan = compile_plan(loaded, Inputs(), fingerprint=FINGERPRINT)
        assert plan == compile_plan(loaded, Inputs(), fingerprint=FINGERPRINT)
        assert plan["reverse"] is not None
        assert len(plan["reverse"]["routes"]) == len(routes)
        json.dumps(plan, allow_nan=False).encode()


@CALM
@given(
    pool=st.fixed_dictionaries(
        {},
        optional={
            "balance": st.sampled_from(["hash", "maglev", "random"]),
            "hash_on": st.sampled_from(["path", "cookie:a", "header:"]),
            "hash_balance": st.sampled_from(["none", "200%", "90%"]),
            "sticky": st.fixed_dictionaries({"cookie": st.sampled_from(["a", "b"])}, optional={"secret": st.text()}),
            "health": st.sampled_from(["/", "up", {"type": "grpc"}, {"path": "/", "timeout": "9s"}, {"every": "1s"}]),
            "outlier": st.booleans()
            | st.sampled_from([{"eject": "9m"}, {"success_rate": True, "status": [500, "4xx"]}]),
            "retry_budget": st.sampled_from(["none", {"percent": "1%"}, {"min": "1/m"}]),
        },
    ),
    split=st.fixed_dictionaries(
        {},
        optional={
            "stable": st.sampled_from(["api", "new", "nowhere"]),
            "canary": st.sampled_from(["api", "new"]),
            "weight": st.sampled_from(["5%", "0%", 5]),
            "variants": st.sampled_from([{"api": 50, "new": 50}, {"api": 100}, {"api": 1, "new": 1}]),
            "sticky": st.sampled_from([{"cookie": "a"}, {"header": "x-a"}, {"client": True}, {}]),
            "autopilot": st.sampled_from([True, {"steps": ["2%", "1%"]}, {"steps": ["7%"]}]),
        },
    ),
)
def test_what_is_loaded_of_pools_and_splits_can_be_compiled(pool: dict[str, Any], split: dict[str, Any]) -> None:
    tree = {
        "listeners": {"web": {"bind": ":80", "role": "reverse"}},
        "reverse": {
            "routes": [{"split": "shop"}],
            "pools": {"api": {"servers": ["127.0.0.1:1"], **pool}, "new": {"servers": ["127.0.0.1:2"]}},
            "splits": {"shop": split},
        },
    }
    with refused_properly():
        plan = compile_plan(load_mapping(tree), Inputs(), fingerprint=FINGERPRINT)
        assert plan["reverse"] is not None
        for compiled in plan["reverse"]["splits"]:
            assert sum(variant["weight"] for variant in compiled["variants"]) == 10_000
            assert len({variant["pool"] for variant in compiled["variants"]}) == 2
