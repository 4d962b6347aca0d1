"""A request that comes back to the proxy is answered 508, not turned round for ever."""

from tests.support.client import absolute, connect, fetch
from tests.support.origin import Origin
from tests.support.proxy import Proxy, forward, free_port, reverse


def test_a_reverse_proxy_that_is_its_own_server() -> None:
    config = reverse(["127.0.0.1:1"])
    config["reverse"]["pools"]["all"]["servers"] = [config["listeners"]["web"]["bind"]]
    with Proxy(config) as proxy:
        response = fetch(proxy.port, "/loop")
        assert response.status == 508
        assert "proxy_loop_detected" in ", ".join(response.fields.values("Proxy-Status"))
        records = proxy.wait_records(lambda record: record.get("path") == "/loop", 2)
        assert len(records) == 2, "once round, not more"
        assert "loop_detected" in {record["reason"] for record in records}


def test_two_proxies_that_send_to_each_other() -> None:
    port_a, port_b = free_port(), free_port()

    def config(port: int, other: int) -> dict[str, object]:
        return {
            **reverse([f"127.0.0.1:{other}"]),
            "listeners": {"web": {"bind": f"127.0.0.1:{port}", "role": "reverse"}},
        }

    with Proxy(config(port_a, port_b)) as a, Proxy(config(port_b, port_a)) as b:
        assert fetch(port_a, "/ring").status == 508
        assert len(a.wait_records(lambda record: record.get("path") == "/ring", 2)) == 2
        assert len(b.wait_records(lambda record: record.get("path") == "/ring", 1)) == 1


def test_a_forward_proxy_asked_for_itself() -> None:
    with Proxy(forward()) as proxy:
        assert absolute(proxy.port, f"http://127.0.0.1:{proxy.port}/self").status in (400, 403, 508)
        absolute(proxy.port, f"http://localhost:{proxy.port}/self")
        assert len(proxy.records()) < 6


def test_high_anonymity_finds_loops_without_via() -> None:
    """No field is left by which the request could be known again, so the connection itself must be."""
    with Proxy(forward(anonymity="high", top={"timeout": {"first_byte": "5s"}})) as proxy:
        response = absolute(proxy.port, f"http://127.0.0.1:{proxy.port}/high")
        assert response.status in (400, 403, 508)
        assert len(proxy.wait_records(lambda record: True)) < 6


def test_a_tunnel_to_itself_is_no_way_round() -> None:
    with Proxy(forward()) as proxy:
        client, response = connect(proxy.port, f"127.0.0.1:{proxy.port}")
        with client:
            if response.status == 200:
                assert client.ask("GET", f"http://127.0.0.1:{proxy.port}/in", host="x").status in (400, 403, 508)
            else:
                assert response.status in (403, 508)


def test_another_proxys_via_is_no_loop() -> None:
    with Origin() as origin, Proxy(reverse([origin.address])) as proxy:
        assert fetch(proxy.port, "/fine", [("Via", "1.1 reviver-other, 1.1 squid")]).status == 200


def test_the_name_can_be_chosen_and_is_what_loops_are_found_by() -> None:
    with Origin() as origin, Proxy(reverse([origin.address], via="edge-1")) as proxy:
        assert fetch(proxy.port, "/name").status == 200
        assert origin.only("/name").fields.get("Via") == "1.1 edge-1"
        assert fetch(proxy.port, "/again", [("Via", "1.0 x, 1.1 edge-1 (comment), 1.1 y")]).status == 508
        assert fetch(proxy.port, "/longer", [("Via", "1.1 edge-12")]).status == 200
        assert not origin.seen("/again")
