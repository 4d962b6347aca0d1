"""Servers that are found, under those that people add and remove."""

from typing import Any

import pytest

from reviver.compile import plan as types
from reviver.config.models import Server
from reviver.control.overlay import Discovered, Overlay, find_pool, planned
from reviver.errors import OperationError
from tests.unit.control.test_overlay import plan, servers

WRITTEN = plan(api=["10.0.0.1:80"], web=["10.0.1.1:80"])


def finding(*addresses: str, to: Overlay | None = None, source: str = "dns app:80", at: str = "r.yaml:7") -> Overlay:
    found = tuple(planned(Server.model_validate({"address": address}), at) for address in addresses)
    return (to or Overlay()).finding({"api": Discovered(source, found)})


def added(address: str, to: Overlay) -> Overlay:
    return to.adding(WRITTEN, "api", {"address": address})[0]


def removed(address: str, of: Overlay) -> Overlay:
    return of.removing(WRITTEN, "api", address)[0]


def test_what_is_found_stands_in_place_of_what_is_written() -> None:
    overlay = finding("10.0.0.5:80", "10.0.0.6:80")
    assert servers(overlay, WRITTEN) == ["10.0.0.5:80", "10.0.0.6:80"]
    assert servers(overlay, WRITTEN, "web") == ["10.0.1.1:80"], "other pools are as they were"
    assert servers(overlay.finding({}), WRITTEN) == ["10.0.0.1:80"]


def test_nothing_may_be_found() -> None:
    assert servers(finding(), WRITTEN) == []


def test_an_added_server_stays_whatever_is_found() -> None:
    overlay = added("10.0.0.9:80", finding("10.0.0.5:80"))
    assert servers(overlay, WRITTEN) == ["10.0.0.5:80", "10.0.0.9:80"]
    for found in (["10.0.0.6:80"], ["10.0.0.9:80", "10.0.0.6:80"], []):
        overlay = finding(*found, to=overlay)
        assert servers(overlay, WRITTEN) == [*found, *(["10.0.0.9:80"] if "10.0.0.9:80" not in found else [])]


def test_a_removed_server_stays_away_however_often_it_is_found() -> None:
    overlay = removed("10.0.0.5:80", finding("10.0.0.5:80", "10.0.0.6:80"))
    assert servers(overlay, WRITTEN) == ["10.0.0.6:80"]
    overlay = finding("10.0.0.5:80", "10.0.0.7:80", to=finding("10.0.0.6:80", to=overlay))
    assert servers(overlay, WRITTEN) == ["10.0.0.7:80"]
    left, notes = overlay.pruned(WRITTEN)
    assert servers(left, WRITTEN) == ["10.0.0.7:80"], "over a reload too"
    assert notes == []


def test_a_removed_server_comes_back_as_it_is_found() -> None:
    overlay = removed("10.0.0.5:80", finding("10.0.0.5:80", "10.0.0.6:80"))
    back, server = overlay.adding(WRITTEN, "api", {"address": "10.0.0.5:80"})
    assert server["at"] == "r.yaml:7"
    assert servers(back, WRITTEN) == ["10.0.0.5:80", "10.0.0.6:80"]
    assert back.added("api") == frozenset()


def test_a_removed_server_that_is_not_found_at_present_comes_back_as_an_added_one() -> None:
    overlay = finding("10.0.0.6:80", to=removed("10.0.0.5:80", finding("10.0.0.5:80", "10.0.0.6:80")))
    back = added("10.0.0.5:80", overlay)
    assert servers(back, WRITTEN) == ["10.0.0.6:80", "10.0.0.5:80"]
    assert back.removed("api") == []


def test_one_that_was_added_and_is_found_too_is_removed_as_both() -> None:
    overlay = finding("10.0.0.9:80", "10.0.0.5:80", to=added("10.0.0.9:80", finding("10.0.0.5:80")))
    assert servers(removed("10.0.0.9:80", overlay), WRITTEN) == ["10.0.0.5:80"]


def test_the_last_server_stays() -> None:
    with pytest.raises(OperationError, match="10.0.0.5:80 is the last server of pool api"):
        removed("10.0.0.5:80", finding("10.0.0.5:80"))
    overlay = removed("10.0.0.5:80", finding("10.0.0.5:80", "10.0.0.6:80"))
    assert servers(finding("10.0.0.5:80", to=overlay), WRITTEN) == ["10.0.0.5:80"], "rather than none"


def test_what_each_server_is_there_by() -> None:
    overlay = added("10.0.0.9:80", finding("10.0.0.5:80"))
    assert overlay.origin("api", "10.0.0.5:80") == "discovery"
    assert overlay.origin("api", "10.0.0.9:80") == "command"
    assert overlay.origin("web", "10.0.1.1:80") == "configuration"
    assert overlay.finding({}).origin("api", "10.0.0.1:80") == "configuration"


def test_what_was_found_for_a_pool_that_is_gone_is_forgotten() -> None:
    left, notes = finding("10.0.0.5:80").pruned(plan(web=["10.0.1.1:80"]))
    assert not left
    assert notes == []


def test_the_place_of_what_decided_moves_with_the_configuration() -> None:
    [found] = finding("10.0.0.5:80").found.values()
    [server] = found.at("r.yaml:9").servers
    assert (server["address"], server["at"]) == ("10.0.0.5:80", "r.yaml:9")


def test_it_comes_through_json_whole_but_for_its_place() -> None:
    overlay = removed("10.0.0.6:80", added("10.0.0.9:80", finding("10.0.0.5:80", "10.0.0.6:80")))
    back = Overlay.read(overlay.as_dict())
    assert back.pools == overlay.pools
    assert back.found["api"].at("r.yaml:7") == overlay.found["api"]
    only = Overlay.read(finding().as_dict())
    assert (only.pools, only.found["api"].servers) == ({}, ())


@pytest.mark.parametrize(
    "found", [{}, {"source": "x"}, {"source": "x", "servers": [{"address": "x"}]}, {"source": "x", "servers": 3}, 3]
)
def test_json_of_another_form_is_told_from_it(found: Any) -> None:
    with pytest.raises((TypeError, KeyError, ValueError, AttributeError)):
        Overlay.read({"api": {"added": [], "removed": [], "found": found}})


def test_a_plan_has_what_a_server_has() -> None:
    server = Server.model_validate({"address": "A:80", "weight": 3, "backup": True, "max_connections": 7})
    made: types.Server = planned(server, "r.yaml:7")
    assert made == {"address": "a:80", "at": "r.yaml:7", "weight": 3, "backup": True, "max_connections": 7}
    assert find_pool(WRITTEN, "api")["servers"] == [
        planned(Server.model_validate({"address": "10.0.0.1:80"}), find_pool(WRITTEN, "api")["servers"][0]["at"])
    ]
