"""Loops through proxies that join `Via` lines into one (RFC 9110, section 5.3, allows them to)."""

import pytest

from tests.support.client import fetch
from tests.support.origin import Origin
from tests.support.proxy import Proxy, forward, reverse


@pytest.mark.parametrize("both", [False, True], ids=["reverse", "both-halves"])
def test_members_are_counted_and_not_lines(both: bool) -> None:
    with Origin() as origin:
        config = reverse([origin.address])
        if both:
            other = forward()
            config["listeners"].update(other["listeners"])
            config["forward"] = other["forward"]
        with Proxy(config) as proxy:
            assert fetch(proxy.port, "/once").status == 200
            own = origin.only("/once").fields.get("Via")
            assert own
            looped = ", 1.1 middle, ".join([own] * 4)
            assert fetch(proxy.port, "/again", [("Via", looped)]).status == 508
            assert not origin.seen("/again")
