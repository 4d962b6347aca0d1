"""What no server was asked for is no fault of a server."""

from tests.support.client import fetch
from tests.support.splits import canary, status
from tests.support.wait import settled


def test_a_client_cannot_make_errors_of_a_variant() -> None:
    """RFC 9111, section 5.2.1.7. Whoever stays on the canary's side could have it rolled back by such requests."""
    routes = [{"name": "shop", "match": {"path": "/*"}, "split": "shop", "cache": True}]
    with canary({"routes": routes}, weight="100%") as pair:
        for number in range(20):
            assert fetch(pair.port, f"/{number}", [("Cache-Control", "only-if-cached")]).status == 504
        assert not pair.canary.requests
        assert settled(lambda: int(status(pair.proxy)["variants"][0]["errors"]), 1.0) == 0
