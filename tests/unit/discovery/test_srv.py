"""Servers by SRV records."""

from collections.abc import Iterator

import pytest

from reviver.config.models.limits import NameServer
from reviver.discovery.names import Names
from reviver.discovery.srv import Record, Services, offered
from tests.support.discovery import Pauses, addresses, answers, discover, reason, told
from tests.support.zone import Zone

NAME = "_http._tcp.app.internal"


@pytest.fixture
def zone() -> Iterator[Zone]:
    with Zone() as zone:
        yield zone


def source(zone: Zone, pauses: Pauses | None = None, **keys: object) -> Services:
    settings = discover(srv=NAME, **keys)
    names = Names([NameServer.read(f"{zone.host}:{zone.port}")], settings.timeout / 1000)
    return Services(settings, names, pauses or Pauses())


def test_port_weight_and_priority_are_those_of_the_records(zone: Zone) -> None:
    zone.set(
        NAME, "SRV", "20 5 8080 c.internal.", "10 60 8081 A.internal.", "10 20 8082 b.internal.", "30 1 80 d.internal.",
        ttl=40,
    )  # fmt: skip
    pauses = Pauses()
    found, _ = answers(source(zone, pauses, max_connections=9), 2)
    assert told(found.servers) == [  # type: ignore[union-attr]
        ("a.internal:8081", 60, False),
        ("b.internal:8082", 20, False),
        ("c.internal:8080", 5, True),
        ("d.internal:80", 1, True),
    ]
    assert {server.max_connections for server in found.servers} == {9}  # type: ignore[union-attr]
    assert pauses.taken == [40]


@pytest.mark.parametrize(
    ("weights", "wanted"),
    [
        ([0], [1]),
        ([0, 0], [1, 1]),
        ([0, 10], [1, 10]),
        ([1000, 1], [1000, 1]),
        ([65535, 0], [1000, 1]),
        ([60000, 30000, 15], [1000, 500, 1]),
        ([2000, 3], [1000, 2]),
    ],
)
def test_weights_are_between_1_and_1000_in_proportion(weights: list[int], wanted: list[int]) -> None:
    records = [Record(0, weight, 80, f"{number}.internal.") for number, weight in enumerate(weights)]
    assert [server.weight for server in offered(records, 0).servers] == wanted


def test_a_target_that_is_named_twice_is_one_server_of_the_first_tier() -> None:
    records = [Record(5, 1, 80, "a.internal."), Record(1, 2, 80, "a.internal."), Record(1, 3, 81, "a.internal.")]
    assert told(offered(records, 0).servers) == [("a.internal:80", 2, False), ("a.internal:81", 3, False)]


def test_a_service_that_is_said_not_to_be_there_has_no_servers() -> None:
    found = offered([Record(0, 0, 0, ".")], 0)
    assert found.servers == ()
    assert found.notes == ("the service is said not to be available there",)


def test_a_record_that_names_no_server_is_left_out() -> None:
    found = offered([Record(0, 0, 0, "a.internal."), Record(0, 0, 80, "b.internal.")], 0)
    assert told(found.servers) == [("b.internal:80", 1, False)]
    assert found.notes == ("a record is left out: port 0 in 'a.internal:0' is out of range",)


def test_a_service_that_does_not_exist_is_an_answer_without_servers(zone: Zone) -> None:
    pauses = Pauses()
    found, _ = answers(source(zone, pauses), 2)
    assert addresses(found) == []
    assert found.notes == (f"there is no name {NAME}",)  # type: ignore[union-attr]
    assert pauses.taken == [5]


def test_it_fails_and_recovers(zone: Zone) -> None:
    zone.trouble(NAME, "SRV", "SERVFAIL")
    zone.set(NAME, "SRV", "0 0 80 a.internal.")
    failed, found = answers(source(zone), 2, lambda _: zone.trouble(NAME, "SRV", None))
    assert reason(failed) == f"{NAME} SRV: 127.0.0.1:{zone.port}: SERVFAIL"
    assert addresses(found) == ["a.internal:80"]


def test_many_records_come_by_tcp(zone: Zone) -> None:
    zone.set(NAME, "SRV", *(f"0 1 80 host-{number:03}.internal." for number in range(100)))
    (found,) = answers(source(zone), 1)
    assert len(addresses(found)) == 100
    assert zone.asked(NAME, "SRV", "tcp") == 1
