"""Servers that are added and removed at run time, over the plans of one configuration and the next."""

from typing import Any

import pytest

from reviver.compile import Inputs, Plan, compile_plan
from reviver.config import load_mapping
from reviver.control.overlay import Overlay
from reviver.errors import OperationError


def plan(**pools: list[Any]) -> Plan:
    routes = [{"match": {"path": f"/{name}"}, "pool": name} for name in pools]
    reverse = {"routes": routes, "pools": {name: {"servers": servers} for name, servers in pools.items()}}
    tree = {"listeners": {"web": {"bind": "127.0.0.1:8080", "role": "reverse"}}, "reverse": reverse}
    return compile_plan(load_mapping(tree), Inputs(), fingerprint="x")


def servers(overlay: Overlay, of: Plan, pool: str = "api") -> list[str]:
    laid = overlay.over(of)
    assert laid["reverse"] is not None
    return [
        server["address"] for item in laid["reverse"]["pools"] if item["name"] == pool for server in item["servers"]
    ]


TWO = plan(api=["10.0.0.1:80", {"address": "10.0.0.2:80", "weight": 3}], web=["10.0.1.1:80"])


def added(address: str, to: Overlay | None = None, **options: Any) -> Overlay:
    return (to or Overlay()).adding(TWO, "api", {"address": address, **options})[0]


def removed(address: str, of: Overlay | None = None) -> Overlay:
    return (of or Overlay()).removing(TWO, "api", address)[0]


def test_an_added_server_has_what_was_said_and_the_defaults() -> None:
    overlay, server = Overlay().adding(TWO, "api", {"address": "App.Internal:80", "weight": 5, "backup": None})
    assert {key: server[key] for key in ("address", "weight", "backup", "max_connections")} == {
        "address": "app.internal:80", "weight": 5, "backup": False, "max_connections": 0,
    }  # fmt: skip
    assert servers(overlay, TWO) == ["10.0.0.1:80", "10.0.0.2:80", "app.internal:80"]
    assert servers(overlay, TWO, "web") == ["10.0.1.1:80"], "other pools are as they were"


def test_nothing_changes_the_plan_of_the_configuration() -> None:
    added("10.0.0.3:80").over(TWO)
    assert servers(Overlay(), TWO) == ["10.0.0.1:80", "10.0.0.2:80"]


def test_one_that_was_added_and_removed_is_as_if_it_never_was() -> None:
    assert not removed("10.0.0.3:80", added("10.0.0.3:80"))


def test_a_written_one_that_comes_back_is_as_it_is_written() -> None:
    overlay, server = removed("10.0.0.2:80").adding(TWO, "api", {"address": "10.0.0.2:80", "weight": 3})
    assert server["weight"] == 3
    assert not overlay


@pytest.mark.parametrize(
    ("pool", "server", "sentence"),
    [
        ("api", {"address": "10.0.0.1:80"}, "pool api has 10.0.0.1:80 already"),
        ("apj", {"address": "10.0.0.3:80"}, "there is no pool apj (did you mean api?)"),
        ("zzz", {"address": "10.0.0.3:80"}, "there is no pool zzz (there are: api, web)"),
        ("api", {"address": "10.0.0.3"}, "'10.0.0.3' has no port (write HOST:PORT, [IPV6]:PORT for an IPv6 address)"),
        ("api", {"address": "http://a/"}, "'http://a/' is a URL, not an address"),
        ("api", {"address": "10.0.0.3:80", "weight": 1001}, "weight: "),
        ("api", {"address": "10.0.0.3:80", "max_connections": -1}, "max_connections: "),
        ("api", {"address": "10.0.0.3:80", "wait": 1}, "wait: "),
    ],
)
def test_what_the_configuration_would_refuse_is_refused(pool: str, server: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OperationError) as raised:
        Overlay().adding(TWO, pool, server)
    assert str(raised.value).startswith(sentence)
    assert "\n" not in str(raised.value)


def test_a_written_one_does_not_come_back_with_another_weight() -> None:
    with pytest.raises(OperationError, match=r"leave out weight \(3 there\)"):
        removed("10.0.0.2:80").adding(TWO, "api", {"address": "10.0.0.2:80", "weight": 4})


def test_the_last_server_stays() -> None:
    one = removed("10.0.0.1:80")
    with pytest.raises(OperationError, match="10.0.0.2:80 is the last server of pool api"):
        removed("10.0.0.2:80", one)
    other = removed("10.0.0.2:80", added("10.0.0.3:80", one))
    assert servers(other, TWO) == ["10.0.0.3:80"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("10.0.0.3:80", "did you mean 10.0.0.2:80"), ("nowhere", "there are: 10.0.0.1:80, 10.0.0.2:80")],
)
def test_a_server_that_is_not_there_is_not_removed(name: str, hint: str) -> None:
    with pytest.raises(OperationError, match=f"pool api has no server {name}") as raised:
        removed(name)
    assert hint in str(raised.value) or "did you mean 10.0.0.1:80" in str(raised.value)


def test_a_name_is_found_however_it_is_spelt() -> None:
    overlay = added("[2001:db8::1]:80")
    assert not removed("[2001:DB8:0::1]:80", overlay)


def test_what_the_configuration_says_by_then_is_forgotten() -> None:
    overlay = removed("10.0.0.1:80", added("10.0.0.3:80", added("10.0.0.4:80")))
    later = plan(api=["10.0.0.2:80", {"address": "10.0.0.3:80", "weight": 9}], web=["10.0.1.1:80"])
    left, notes = overlay.pruned(later)
    assert notes == []
    assert left.added("api") == {"10.0.0.4:80"}
    assert left.removed("api") == []
    assert servers(left, later) == ["10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"]


def test_a_pool_that_is_gone_takes_its_changes_with_it_and_says_so() -> None:
    left, notes = added("10.0.0.3:80").pruned(plan(web=["10.0.1.1:80"]))
    assert not left
    assert notes == ["pool api is gone, and with it what was changed of its servers at run time"]


def test_a_configuration_that_leaves_only_removed_ones_has_them_again() -> None:
    later = plan(api=["10.0.0.1:80"])
    left, notes = removed("10.0.0.1:80").pruned(later)
    assert servers(left, later) == ["10.0.0.1:80"]
    assert notes == ["pool api: 10.0.0.1:80 is there again: nothing else is left"]


def test_it_comes_through_json_whole() -> None:
    overlay = removed("10.0.0.1:80", added("10.0.0.3:80", weight=2, backup=True, max_connections=7))
    assert Overlay.read(overlay.as_dict()) == overlay


@pytest.mark.parametrize(
    "table",
    [
        {"api": {}},
        {"api": {"added": [{}], "removed": []}},
        {"api": 3},
        {"api": {"added": [{"address": "x"}], "removed": []}},
    ],
)
def test_json_of_another_form_is_told_from_it(table: dict[str, Any]) -> None:
    with pytest.raises((TypeError, KeyError, ValueError, AttributeError)):
        Overlay.read(table)
