"""What is told of mirrors in a whole proxy on the engine's stand-in."""

from pathlib import Path
from typing import Any

import pytest

from reviver.control import client
from tests.unit.control.test_pools import ask, refused, serving

CONFIGURATION = """
listeners:
  web: {bind: "127.0.0.1:18080", role: reverse}
reverse:
  routes:
    - {name: shop, match: {path: "/shop"}, split: shop}
    - {name: bare, match: {path: "/bare"}, split: bare}
    - {name: api, match: {path: "/api"}, pool: v1, mirror: v3}
    - {name: all, match: {path: "/*"}, pool: v1}
  pools:
    v1: {servers: ["127.0.0.1:11"]}
    v2: {servers: ["127.0.0.1:12"]}
    v3: {servers: ["127.0.0.1:13"]}
  splits:
    shop: {stable: v1, canary: v2, mirror: {percent: 0.5%, compare: {headers: [], body: false}}}
    bare: {stable: v1, canary: v2}
control: {socket: c.sock}
logs: []
"""
FOUND = {"route": "shop", "what": "status", "answered": "200", "mirrored": "500", "count": 3, "paths": ["/shop"]}
REPORT: dict[str, Any] = {
    "name": "shop", "copied": 9, "skipped": {"busy": 1}, "compared": 8, "same": 5, "unanswered": 1,
    "noise": {"body": 2}, "differences": [FOUND], "more": 0,
}  # fmt: skip
OLD = {**REPORT, "name": "of-before"}


def test_mirrors_are_told_with_what_they_got(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIGURATION, mirrors=[OLD, REPORT]) as proxy:
        shop, api = ask(proxy, "canary.diff")["mirrors"]
        written = {"of": "split", "at": "r.yaml:15", "pool": "v2", "percent": 50}
        assert shop == {**REPORT, **written, "compare": {"headers": [], "body": False}}
        assert (api["of"], api["name"], api["pool"], api["percent"]) == ("route", "api", "v3", 10_000)
        assert (api["copied"], api["compared"], api["differences"], api["compare"]) == (0, 0, [], None)
        for name in ("shop", "api"):
            assert [mirror["name"] for mirror in ask(proxy, "canary.diff", name=name)["mirrors"]] == [name]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bare", "split bare has no mirror"),
        ("all", "route all has no mirror"),
        ("shpo", "there is no mirror of shpo (did you mean shop?)"),
        ("of-before", "there is no mirror of of-before (there are: shop, api)"),
    ],
)
def test_what_has_no_mirror_is_named(name: str, said: str, tmp_path: Path) -> None:
    with serving(tmp_path, CONFIGURATION, mirrors=[OLD]) as proxy:
        assert refused(proxy, "canary.diff", name=name) == said


def test_a_proxy_without_mirrors_has_none(tmp_path: Path) -> None:
    with serving(tmp_path) as proxy:
        assert client.ask(proxy.socket, "canary.diff", request={}) == {"mirrors": []}
