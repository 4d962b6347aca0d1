"""What a variant has answered is for those who see that variant, whatever its place among the others."""

from tests.support.client import fetch
from tests.support.fleet import fleet
from tests.support.origin import responds
from tests.support.proxy import Proxy
from tests.support.splits import tree

HOUR = ("Cache-Control", "max-age=3600")


def test_variants_that_change_places_over_a_reload() -> None:
    with fleet(2) as (one, other):
        one.default, other.default = responds(200, b"one", HOUR), responds(200, b"other", HOUR)
        split = {"variants": {"one": 50, "other": 50}, "force": {"header": "X-Variant"}}
        routes = [{"name": "shop", "match": {"path": "/*"}, "split": "shop", "cache": True}]
        with Proxy(tree({"one": [one], "other": [other]}, {"shop": split}, routes=routes)) as proxy:

            def asked(variant: str) -> bytes:
                return fetch(proxy.port, "/", [("X-Variant", variant)]).body

            for _ in range(2):
                assert (asked("one"), asked("other")) == (b"one", b"other")
            assert (len(one.requests), len(other.requests)) == (1, 1), "it is stored"
            split["variants"] = {"other": 50, "one": 50}
            proxy.save()
            proxy.reload()
            assert (asked("one"), asked("other")) == (b"one", b"other")
