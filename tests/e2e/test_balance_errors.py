"""`check` says what is wrong with pools, splits and limits: where, what, and what to write."""

import json
import re
from pathlib import Path

import pytest

from tests.support.fleet import spread
from tests.support.pools import notes
from tests.support.proxy import Config, cli
from tests.support.splits import canary, weights

GOOD = """\
listeners: {web: {bind: "127.0.0.1:8080", role: reverse}}
reverse:
  routes:
    - {name: shop, match: {path: "/shop/*"}, split: shop}
    - {name: all, match: {path: "/*"}, pool: v1, limit: {rate: 10/s}}
  pools:
    v1: {servers: ["127.0.0.1:9001"]}
    v2: {servers: ["127.0.0.1:9002"]}
  splits:
    shop: {stable: v1, canary: v2, weight: 5%}
"""
POOL = 'v1: {servers: ["127.0.0.1:9001"]}'
SPLIT = "shop: {stable: v1, canary: v2, weight: 5%}"
LIMIT = "limit: {rate: 10/s}"


def pool(keys: str) -> tuple[str, str]:
    return POOL, f'v1: {{servers: ["127.0.0.1:9001"], {keys}}}'


def split(keys: str) -> tuple[str, str]:
    return SPLIT, f"shop: {{{keys}}}"


def check(tmp_path: Path, change: tuple[str, str], *arguments: str) -> tuple[int, str]:
    """Exit code and output for the good file with this change."""
    assert GOOD.count(change[0]) == 1
    path = tmp_path / "r.yaml"
    path.write_text(GOOD.replace(*change))
    done = cli("check", path, *arguments)
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


def test_the_file_is_good_as_it_is(tmp_path: Path) -> None:
    code, said = check(tmp_path, (SPLIT, SPLIT))
    assert code == 0, said
    assert "warning" not in said


#: A change, the key that it is about, and words of what is said, the hint included.
WRONG: list[tuple[str, tuple[str, str], str, list[str]]] = [
    # what the splits name
    ("a split that names no pool", split("weight: 5%"), "splits.shop", ["names no pool", "stable", "canary"]),
    ("a split without stable", split("canary: v2"), "splits.shop", ["no stable"]),
    ("a pool that is not there", split("stable: v1, canary: v3"), "splits.shop.canary", ["no pool v3", "v1, v2"]),
    ("a variant that is no pool", split("variants: {v1: 50, w2: 50}"), "splits.shop.variants.w2", ["w2", "v2"]),
    ("the same pool twice", split("stable: v1, canary: v1"), "splits.shop.canary", ["v1"]),
    ("a split that is not there", ("split: shop", "split: shp"), "routes[0].split", ["shp", "did you mean shop"]),
    ("pool and split", ("split: shop}", "split: shop, pool: v1}"), "routes[0]", ["pool", "split"]),
    # weights
    ("weights below", split("variants: {v1: 50, v2: 40}"), "splits.shop.variants", ["90%", "100%", "10%"]),
    ("weights above", split("variants: {v1: 50, v2: 50.01%}"), "splits.shop.variants", ["100.01%", "0.01%"]),
    ("one variant", split("variants: {v1: 100}"), "splits.shop.variants", ["two"]),
    ("too fine a weight", split("stable: v1, canary: v2, weight: 0.001%"), "splits.shop.weight", ["0.001%"]),
    ("more than all", split("stable: v1, canary: v2, weight: 101%"), "splits.shop.weight", ["101%"]),
    ("no percentage", split("stable: v1, canary: v2, weight: some"), "splits.shop.weight", ["some"]),
    ("variants and a canary", split("canary: v2, variants: {v1: 50, v2: 50}"), "splits.shop.canary", ["variants"]),
    # people
    ("two kinds of people", split("stable: v1, canary: v2, sticky: {cookie: a, header: b}"), "shop.sticky", ["cookie"]),
    ("nobody", split("stable: v1, canary: v2, sticky: {}"), "splits.shop.sticky", ["cookie", "header", "client"]),
    ("a network", split("stable: v1, canary: v2, force: {header: x, clients: [10.0.0]}"), "clients[0]", ["10.0.0"]),
    # autopilot
    ("steps that fall", split("stable: v1, canary: v2, autopilot: {steps: [5%, 1%]}"), "autopilot.steps[1]", ["grow"]),
    ("no margin", split("stable: v1, canary: v2, autopilot: {abort_on: {}}"), "autopilot.abort_on", ["nothing"]),
    (
        "a metric",
        split('stable: v1, canary: v2, autopilot: {abort_on: {p96: "+1%"}}'),
        "abort_on.p96",
        ["did you mean"],
    ),
    ("a gate", split("stable: v1, canary: v2, autopilot: {gates: {before: [x]}}"), "gates.before", ["URL"]),
    ("a judged variant", split("variants: {v1: 50, v2: 50}, autopilot: true"), "splits.shop.autopilot", ["canary"]),
    # hashing
    ("a hash on nothing", pool('balance: hash, hash_on: "header:"'), "pools.v1.hash_on", ["nothing", "header:NAME"]),
    ("a hash on no cookie", pool('balance: maglev, hash_on: "cookie:"'), "v1.hash_on", ["nothing", "cookie:NAME"]),
    ("a hash on what?", pool("balance: hash, hash_on: heder:x"), "pools.v1.hash_on", ["did you mean header:x"]),
    ("nothing to hash for", pool("balance: random, hash_on: client"), "pools.v1.hash_on", ["random", "hash"]),
    ("a tight bound", pool("balance: hash, hash_balance: 100%"), "pools.v1.hash_balance", ["101%"]),
    ("a balancer", pool("balance: least_request"), "pools.v1.balance", ["did you mean least_requests"]),
    # cookies
    ("a short secret", pool("sticky: {cookie: s, secret: short}"), "pools.v1.sticky.secret", ["16"]),
    ("no cookie", pool("sticky: {secret: 0123456789abcdef}"), "pools.v1.sticky", ["cookie"]),
    ("a cookie's name", pool('sticky: {cookie: "a b"}'), "pools.v1.sticky.cookie", ["a b"]),
    # health
    ("a path without slash", pool("health: healthz"), "pools.v1.health", ["slash", "/healthz"]),
    ("a path without slash, long", pool("health: {path: healthz}"), "pools.v1.health.path", ["slash", "/healthz"]),
    ("a check of nothing", pool("health: {every: 5s}"), "pools.v1.health", ["path", "type"]),
    ("a kind of check", pool("health: {type: htp}"), "pools.v1.health.type", ["did you mean http"]),
    ("an impatient check", pool("health: {path: /h, every: 1s, timeout: 2s}"), "v1.health.timeout", ["every"]),
    ("a status", pool("health: {path: /h, expect: 2x}"), "pools.v1.health.expect", ["2x"]),
    ("a range", pool("health: {path: /h, expect: 399-200}"), "pools.v1.health.expect", ["399-200"]),
    ("rise", pool("health: {path: /h, rise: 0}"), "pools.v1.health.rise", ["0"]),
    ("a pattern", pool('health: {path: /h, body: "~["}'), "pools.v1.health.body", ["["]),
    # others
    ("max_eject", pool("outlier: {eject: 10m, max_eject: 1m}"), "pools.v1.outlier.eject", ["max_eject"]),
    ("a share", pool("outlier: {max_ejected: 101%}"), "pools.v1.outlier.max_ejected", ["101%"]),
    ("a negative bound", pool("queue: {max: -1}"), "pools.v1.queue.max", ["-1"]),
    ("a budget", pool("retry_budget: some"), "pools.v1.retry_budget", ["some"]),
    ("a rate", (LIMIT, "limit: {rate: 10}"), "routes[1].limit", ["10/s"]),
    ("no rate", (LIMIT, "limit: {burst: 3}"), "routes[1].limit", ["rate"]),
    ("a rate of nothing", (LIMIT, "limit: {rate: 0/s}"), "routes[1].limit", ["0"]),
    ("by whom", (LIMIT, "limit: {rate: 1/s, by: clent}"), "routes[1].limit", ["did you mean client"]),
    ("by no header", (LIMIT, 'limit: {rate: 1/s, by: "header:"}'), "routes[1].limit", ["header:NAME"]),
    ("backoff", (LIMIT, "retry: {backoff: 1s, max_backoff: 10ms}"), "routes[1].retry.backoff", ["max_backoff"]),
]


@pytest.mark.parametrize(("change", "key", "words"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_is_wrong(tmp_path: Path, change: tuple[str, str], key: str, words: list[str]) -> None:
    code, said = check(tmp_path, change)
    assert code == 2, said
    errors = [line for line in said.splitlines() if re.search(r"r\.yaml:\d+:\d+:", line) and "warning" not in line]
    assert len(errors) == 1, said
    number = GOOD[: GOOD.index(change[0])].count("\n") + 1
    assert f"r.yaml:{number}:" in errors[0]
    assert key in errors[0]
    for word in words:
        assert word in errors[0], said


def test_as_json(tmp_path: Path) -> None:
    """For editors and pipelines: the place as numbers."""
    code, said = check(tmp_path, split("variants: {v1: 50, v2: 40}"), "--json")
    assert code == 2
    assert "splits.shop.variants" in said
    assert json.loads(said)


def test_many_at_once(tmp_path: Path) -> None:
    """Nobody has to mend one after the other."""
    path = tmp_path / "r.yaml"
    text = GOOD.replace(*pool("balance: hash, hash_on: 'header:', health: healthz, sticky: {cookie: s, secret: x}"))
    path.write_text(text.replace(*split("variants: {v1: 50, v3: 40}")))
    done = cli("check", path)
    assert done.returncode == 2
    for key in ("v1.hash_on", "v1.health", "v1.sticky.secret", "shop.variants"):
        assert key in done.stderr + done.stdout
    assert "0123" not in done.stderr


#: What is doubtful: said, and good all the same.
DOUBTFUL: list[tuple[str, tuple[str, str], list[str]]] = [
    ("a sticky cookie without secret", pool("sticky: {cookie: s}"), ["secret", "v1"]),
    ("a queue that none waits in", pool("queue: {max: 5}"), ["max_connections"]),
    ("a split that no route uses", ("split: shop}", "pool: v2}"), ["no route uses"]),
    ("a judgement of nobody", pool("outlier: {success_rate: true}"), ["min_servers"]),
]


@pytest.mark.parametrize(("change", "words"), [row[1:] for row in DOUBTFUL], ids=[row[0] for row in DOUBTFUL])
def test_what_is_doubtful(tmp_path: Path, change: tuple[str, str], words: list[str]) -> None:
    code, said = check(tmp_path, change)
    assert code == 0, said
    (line,) = (line for line in said.splitlines() if "warning" in line and re.search(r"r\.yaml:\d+:", line))
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (split("stable: v1, canary: v2, mirorr: 10%"), "mirorr"),
        (pool("circut: {max: 5}"), "circut"),
        (pool("outliers: {eject: 1s}"), "outliers"),
        ((LIMIT, "limits: {rate: 1/s}"), "limits"),
    ],
)
def test_keys_that_there_are_not(tmp_path: Path, change: tuple[str, str], key: str) -> None:
    code, said = check(tmp_path, change)
    assert code == 2
    assert key in said


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    code, said = check(tmp_path, pool("sticky: {cookie: s, secret: hunter2hunter}"))
    assert code == 2
    assert "hunter2" not in said


def test_a_bad_reload_changes_nothing() -> None:
    with canary(weight="100%") as pair:
        bad: Config = {"variants": {"v1": 50, "v2": 40}}
        pair.proxy.config["reverse"]["splits"]["shop"] = bad
        done = pair.proxy.reload()
        assert done.returncode == 2
        assert "90%" in done.stderr
        assert weights(pair.proxy) == [10_000, 0]
        assert spread(pair.port, 10) == {"canary": 10}
        assert not notes(pair.proxy, "Traceback")
