"""How names are looked up: cached by their time to live, both address families, bounded waits."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import absolute, connect, fetch
from tests.support.names import NameServer
from tests.support.origin import Origin, Refusing
from tests.support.proxy import Proxy, forward, reverse
from tests.support.wait import Together, until


@pytest.fixture
def names() -> Iterator[NameServer]:
    with NameServer() as names:
        yield names


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    """Closes after each answer, so that each request needs a connection and its address."""
    with Origin(handler=lambda exchange: exchange.respond(200, b"ok", close=True)) as origin:
        yield origin


def resolving(names: NameServer, **more: Any) -> Proxy:
    """A forward proxy of one worker, which has one cache."""
    return Proxy(forward(top={"workers": 1, "resolver": {**names.config, **more}}))


def test_an_answer_is_kept_for_its_time_to_live(names: NameServer, origin: Origin) -> None:
    names.set("kept.test", "127.0.0.1", ttl=300)
    with resolving(names) as proxy:
        for i in range(10):
            assert absolute(proxy.port, f"http://kept.test:{origin.port}/{i}").status == 200
    assert names.asked("kept.test", "A") == 1


def test_and_no_longer(names: NameServer, origin: Origin) -> None:
    names.set("brief.test", "127.0.0.1", ttl=1)
    with resolving(names, min_ttl="1s") as proxy:

        def asked_again() -> bool:
            assert absolute(proxy.port, f"http://brief.test:{origin.port}/").status == 200
            return names.asked("brief.test", "A") >= 2

        until(asked_again, "a second question")


def test_max_ttl_bounds_what_an_answer_claims(names: NameServer, origin: Origin) -> None:
    names.set("long.test", "127.0.0.1", ttl=86_400)
    with resolving(names, max_ttl="1s") as proxy:

        def asked_again() -> bool:
            assert absolute(proxy.port, f"http://long.test:{origin.port}/").status == 200
            return names.asked("long.test", "A") >= 2

        until(asked_again, "a second question")


def test_a_crowd_asks_once(names: NameServer, origin: Origin) -> None:
    names.set("crowd.test", "127.0.0.1")
    with resolving(names) as proxy:

        def one(index: int) -> None:
            assert absolute(proxy.port, f"http://crowd.test:{origin.port}/{index}").status == 200

        Together(one, 20).join()
    assert names.asked("crowd.test", "A") <= 3


def test_a_name_that_is_not_there_is_remembered_too(names: NameServer) -> None:
    with resolving(names) as proxy:
        for _ in range(5):
            assert absolute(proxy.port, "http://missing.test/").status == 502
    assert names.asked("missing.test", "A") <= 2


def test_a_silent_name_server_is_504_in_time(names: NameServer) -> None:
    names.silence("silent.test")
    with resolving(names, timeout="400ms") as proxy:
        response = absolute(proxy.port, "http://silent.test/dumb")
        assert response.status == 504
        assert "error=dns_timeout" in (response.fields.get("Proxy-Status") or "")
        assert proxy.record("/dumb")["reason"] == "dns_timeout"


def ask_the_silent_one(proxy: Proxy) -> None:
    assert absolute(proxy.port, "http://silent.test/").status == 504


def test_a_silent_name_holds_nobody_else_up(names: NameServer, origin: Origin) -> None:
    names.silence("silent.test")
    with resolving(names, timeout="1500ms") as proxy:
        together = Together(lambda _: ask_the_silent_one(proxy), 10)
        until(lambda: names.asked("silent.test", "A"), "the question")
        assert absolute(proxy.port, f"http://127.0.0.1:{origin.port}/meanwhile").status == 200
        together.join()


def test_the_next_address_when_one_refuses(names: NameServer, origin: Origin) -> None:
    names.set("several.test", "127.0.0.99", "127.0.0.98", "127.0.0.1")
    with resolving(names) as proxy:
        for i in range(5):
            assert absolute(proxy.port, f"http://several.test:{origin.port}/{i}").status == 200


def test_all_addresses_refuse(names: NameServer) -> None:
    with Refusing() as dead:
        names.set("dead.test", "127.0.0.1", "127.0.0.2")
        with resolving(names) as proxy:
            response = absolute(proxy.port, f"http://dead.test:{dead.port}/")
            assert response.status == 502
            assert "error=connection_refused" in (response.fields.get("Proxy-Status") or "")


def test_ipv6_refuses_and_ipv4_answers(names: NameServer, origin: Origin, ipv6: None) -> None:
    names.set("both.test", "::1", "127.0.0.1")
    with resolving(names) as proxy:
        for i in range(5):
            assert absolute(proxy.port, f"http://both.test:{origin.port}/{i}").status == 200


def test_ipv4_refuses_and_ipv6_answers(names: NameServer, ipv6: None) -> None:
    with Origin("six", host="::1") as six:
        names.set("both.test", "::1", "127.0.0.1")
        with resolving(names) as proxy:
            assert absolute(proxy.port, f"http://both.test:{six.port}/").text == "six GET /"
            assert proxy.record("/")["upstream"] == six.address


def test_an_address_that_does_not_answer_is_overtaken(names: NameServer, origin: Origin) -> None:
    """RFC 8305: the other address is tried while the first still hangs."""
    names.set("hangs.test", "192.0.2.1", "127.0.0.1")
    names.set("hangs6.test", "2001:db8::1", "127.0.0.1")
    with resolving(names, fallback_delay="100ms") as proxy:
        for name in ("hangs.test", "hangs6.test"):
            assert absolute(proxy.port, f"http://{name}:{origin.port}/overtaken").status == 200


def test_only_ipv6_and_only_ipv4(names: NameServer, origin: Origin, ipv6: None) -> None:
    with Origin("six", host="::1") as six:
        names.set("four.test", "127.0.0.1")
        names.set("six.test", "::1")
        with resolving(names) as proxy:
            assert absolute(proxy.port, f"http://four.test:{origin.port}/").status == 200
            assert absolute(proxy.port, f"http://six.test:{six.port}/").status == 200


def test_tunnels_by_name(names: NameServer, origin: Origin) -> None:
    names.set("tunnel.test", "127.0.0.1")
    with resolving(names) as proxy:
        client, response = connect(proxy.port, f"tunnel.test:{origin.port}")
        with client:
            assert response.status == 200
            assert client.ask().text == "ok"


def test_servers_of_a_pool_by_name(names: NameServer, origin: Origin) -> None:
    names.set("backend.test", "127.0.0.1")
    with Proxy(reverse([f"backend.test:{origin.port}"], resolver=names.config)) as proxy:
        assert fetch(proxy.port, "/pooled").status == 200
        assert proxy.record("/pooled")["server"] == f"backend.test:{origin.port}"


def test_the_hosts_file(names: NameServer, origin: Origin) -> None:
    with resolving(names, hosts_file=True) as proxy:
        assert absolute(proxy.port, f"http://localhost:{origin.port}/").status == 200
    assert names.asked("localhost") == 0
