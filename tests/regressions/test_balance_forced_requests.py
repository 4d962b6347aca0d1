"""An autopilot judges by people who were dealt out, and not by those who chose."""

from tests.support.client import fetch
from tests.support.splits import canary, pilot, status, wait_weight
from tests.support.wait import settled


def test_who_asks_for_the_canary_is_no_evidence() -> None:
    """Nobody stands against them: a tester, or whoever knows the header, would decide what becomes of a canary."""
    autopilot = {"steps": ["0.01%", "100%"], "every": "1h", "min_requests": 100}
    with canary(force={"header": "X-Canary"}, autopilot=autopilot) as pair:
        wait_weight(pair.proxy, 1)
        assert status(pair.proxy)["baseline"]["requests"] == 0
        for _ in range(30):
            assert fetch(pair.port, "/", [("X-Canary", "always")]).fields.get("X-Origin") == "canary"
        # it is looked at each second
        assert settled(lambda: int(pilot(pair.proxy)["requests"]["canary"]), 2.5) == 0
