"""Who is bound to a server stays with it while it is up."""

from tests.support.client import Client
from tests.support.fleet import addresses, fleet, with_gates
from tests.support.pools import pool
from tests.support.proxy import Proxy, reverse
from tests.support.wait import until


def test_a_server_that_is_full_for_a_moment_loses_nobody() -> None:
    sticky = {"cookie": "server", "secret": "0123456789abcdef0123"}
    keys = {"balance": "first", "sticky": sticky, "queue": {"max": 10, "timeout": "10s"}}
    with fleet(2) as servers:
        first, second = with_gates(servers)
        second.open()
        with Proxy(reverse(addresses(servers, max_connections=1), pool=keys)) as proxy, Client(proxy.port) as bound:
            bound.request("GET", "/1")
            first.wait(1)
            first.release()
            cookie = (bound.response().fields.get("Set-Cookie") or "").split(";")[0]
            with Client(proxy.port) as other:
                other.request("GET", "/2")
                first.wait(1)
                bound.request("GET", "/3", [("Cookie", cookie)])
                until(lambda: pool(proxy)["waiting"] or second.came, "the request to be there")
                # whether it waits or is lent another server: it is not given away
                first.open()
                assert bound.response().fields.get("Set-Cookie") is None
                assert other.response().status == 200
