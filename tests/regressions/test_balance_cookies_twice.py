"""Browsers send several cookies of one name, those of longer paths first: the one that is ours is not always first."""

from tests.support.client import fetch
from tests.support.fleet import addresses, fleet
from tests.support.proxy import Proxy, reverse
from tests.support.splits import canary

TWICE = "only the first cookie of a name is looked at"
ID = "0123456789abcdef0123456789abcdef"


def test_a_person_is_known_by_the_second_cookie_of_the_name() -> None:
    with canary(weight="50%", sticky={"cookie": "who"}) as pair:
        for cookie in (f"who={ID}", f"who=x; who={ID}"):
            response = fetch(pair.port, "/", [("Cookie", cookie)])
            assert (response.status, response.fields.get("Set-Cookie")) == (200, None), cookie


def test_a_client_is_bound_by_the_second_cookie_of_the_name() -> None:
    pool = {"sticky": {"cookie": "server", "secret": "0123456789abcdef0123"}}
    with fleet(2) as servers, Proxy(reverse(addresses(servers), pool=pool)) as proxy:
        given = (fetch(proxy.port, "/").fields.get("Set-Cookie") or "").split(";")[0]
        for cookie in (given, f"server=x; {given}"):
            response = fetch(proxy.port, "/", [("Cookie", cookie)])
            assert (response.status, response.fields.get("Set-Cookie")) == (200, None), cookie
