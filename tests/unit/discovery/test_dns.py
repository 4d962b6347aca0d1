"""Servers by A and AAAA, from a real name server on loopback."""

import socket
from collections.abc import Iterator

import pytest

from reviver.config.models.limits import NameServer
from reviver.discovery.dns import Addresses
from reviver.discovery.names import Names
from tests.support.discovery import Pauses, addresses, answers, discover, reason
from tests.support.zone import Zone

NAME = "app.internal"


@pytest.fixture
def zone() -> Iterator[Zone]:
    with Zone() as zone:
        yield zone


def source(zone: Zone, pauses: Pauses | None = None, *more: str, **keys: object) -> Addresses:
    settings = discover(dns=f"{NAME}:8080", **keys)
    servers = [NameServer.read(text) for text in (*more, f"{zone.host}:{zone.port}")]
    return Addresses(settings, Names(servers, settings.timeout / 1000), pauses or Pauses())


def test_each_address_is_a_server_in_an_order_that_no_name_server_shuffles(zone: Zone) -> None:
    zone.set(NAME, "A", "10.0.0.10", "10.0.0.9", "10.0.0.9")
    zone.set(NAME, "AAAA", "2001:db8::2", "2001:db8::1")
    (found,) = answers(source(zone), 1)
    assert addresses(found) == ["10.0.0.9:8080", "10.0.0.10:8080", "[2001:db8::1]:8080", "[2001:db8::2]:8080"]


def test_servers_have_the_bound_that_is_written(zone: Zone) -> None:
    zone.set(NAME, "A", "10.0.0.1")
    (found,) = answers(source(zone, max_connections=7), 1)
    assert found.servers[0].max_connections == 7  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("four", "six", "pause"),
    [(60, 60, 60), (60, 30, 30), (20, 90, 20), (0, 0, 5), (3600, 3600, 120), (4, 60, 5)],
)
def test_it_is_asked_again_when_the_first_record_is_no_longer_valid(
    zone: Zone, four: int, six: int, pause: float
) -> None:
    """Within the bounds that are written."""
    zone.set(NAME, "A", "10.0.0.1", ttl=four)
    zone.set(NAME, "AAAA", "2001:db8::1", ttl=six)
    pauses = Pauses()
    answers(source(zone, pauses, min_ttl="5s", max_ttl="2m"), 2)
    assert pauses.taken == [pause]


def test_a_name_without_records_of_one_family_is_asked_again_by_those_of_the_other(zone: Zone) -> None:
    zone.set(NAME, "A", "10.0.0.1", ttl=20)
    pauses = Pauses()
    found, _ = answers(source(zone, pauses), 2)
    assert addresses(found) == ["10.0.0.1:8080"]
    assert pauses.taken == [20]


def test_a_name_for_another_name_holds_as_long_as_each_of_the_records(zone: Zone) -> None:
    zone.set(NAME, "CNAME", "web.internal.", ttl=10)
    zone.set("web.internal", "A", "10.0.0.1", ttl=200)
    pauses = Pauses()
    found, _ = answers(source(zone, pauses), 2)
    assert addresses(found) == ["10.0.0.1:8080"]
    assert pauses.taken == [10]


def test_what_has_changed_is_found_at_the_next_look(zone: Zone) -> None:
    zone.set(NAME, "A", "10.0.0.1")
    first, second = answers(source(zone), 2, lambda _: zone.set(NAME, "A", "10.0.0.2", "10.0.0.3"))
    assert addresses(first) == ["10.0.0.1:8080"]
    assert addresses(second) == ["10.0.0.2:8080", "10.0.0.3:8080"]


def test_no_search_domain_completes_a_name(zone: Zone) -> None:
    zone.set(NAME, "A", "10.0.0.1")
    answers(source(zone), 1)
    assert {name for name, *_ in zone.questions} == {NAME}


def test_an_answer_that_is_too_long_for_udp_comes_by_tcp(zone: Zone) -> None:
    many = [f"10.0.1.{number}" for number in range(1, 101)]
    zone.set(NAME, "A", *many)
    (found,) = answers(source(zone), 1)
    assert addresses(found) == [f"{address}:8080" for address in many]
    assert zone.asked(NAME, "A", "tcp") == 1


def test_a_name_that_does_not_exist_is_an_answer_without_servers(zone: Zone) -> None:
    pauses = Pauses()
    found, _ = answers(source(zone, pauses), 2)
    assert addresses(found) == []
    assert found.notes == ("there is no name app.internal",)  # type: ignore[union-attr]
    assert pauses.taken == [5]


def test_a_name_without_addresses_is_asked_again_soon(zone: Zone) -> None:
    """Nothing says how long there will be none, and who waits for servers does not wait for `max_ttl`."""
    zone.set(NAME, "TXT", '"here"')
    pauses = Pauses()
    found, _ = answers(source(zone, pauses), 2)
    assert addresses(found) == []
    assert pauses.taken == [5]


def test_a_name_server_that_fails_is_asked_again_less_and_less_often(zone: Zone) -> None:
    zone.set(NAME, "A", "10.0.0.1")
    for family in ("A", "AAAA"):
        zone.trouble(NAME, family, "SERVFAIL")
    pauses = Pauses()

    def mend(count: int) -> None:
        if count == 6:
            zone.trouble(NAME, "A", None)

    *failures, found, _ = answers(source(zone, pauses), 8, mend)
    assert {reason(failure) for failure in failures} == {f"app.internal A: 127.0.0.1:{zone.port}: SERVFAIL"}
    assert addresses(found) == ["10.0.0.1:8080"]
    assert pauses.taken == [1, 2, 5, 10, 30, 30, 5]


def test_no_failure_is_followed_by_a_look_before_the_least_time(zone: Zone) -> None:
    for family in ("A", "AAAA"):
        zone.trouble(NAME, family, "REFUSED")
    pauses = Pauses()
    answers(source(zone, pauses, min_ttl="3s", max_ttl="7s"), 5)
    assert pauses.taken == [3, 3, 5, 7]


def test_addresses_of_a_family_of_which_nothing_is_heard_stay(zone: Zone) -> None:
    zone.set(NAME, "A", "10.0.0.1")
    zone.set(NAME, "AAAA", "2001:db8::1")

    def change(count: int) -> None:
        if count == 1:
            zone.set(NAME, "A", "10.0.0.2")
            zone.trouble(NAME, "AAAA", "SERVFAIL")
        else:
            zone.trouble(NAME, "AAAA", None)
            zone.set(NAME, "AAAA")

    pauses = Pauses()
    both, half, gone = answers(source(zone, pauses), 3, change)
    assert addresses(both) == ["10.0.0.1:8080", "[2001:db8::1]:8080"]
    assert addresses(half) == ["10.0.0.2:8080", "[2001:db8::1]:8080"]
    assert addresses(gone) == ["10.0.0.2:8080"]
    assert pauses.taken == [300, 5], "it is soon asked again"


def test_a_silent_name_server_is_a_failure_in_time(zone: Zone) -> None:
    for family in ("A", "AAAA"):
        zone.trouble(NAME, family, "silence")
    (failed,) = answers(source(zone, timeout="300ms"), 1)
    assert reason(failed) == "app.internal A: no answer within 0.24 s"


def test_a_family_that_is_never_answered_does_not_hide_the_other(zone: Zone) -> None:
    zone.set(NAME, "A", "10.0.0.1")
    zone.trouble(NAME, "AAAA", "silence")
    (found,) = answers(source(zone, timeout="400ms"), 1)
    assert addresses(found) == ["10.0.0.1:8080"]


def test_the_next_name_server_is_asked_where_one_is_down(zone: Zone) -> None:
    zone.set(NAME, "A", "10.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        (found,) = answers(source(zone, None, f"127.0.0.1:{silent.getsockname()[1]}", timeout="1s"), 1)
    assert addresses(found) == ["10.0.0.1:8080"]


def test_a_system_without_name_servers_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    import dns.resolver

    def unreadable(self: object, file: object) -> None:
        raise dns.resolver.NoResolverConfiguration("cannot open /etc/resolv.conf")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(dns.resolver.BaseResolver, "read_resolv_conf", unreadable)
    settings = discover(dns=f"{NAME}:8080")
    (failed,) = answers(Addresses(settings, Names([], 1.0), Pauses()), 1)
    assert reason(failed) == "app.internal A: cannot open /etc/resolv.conf"
