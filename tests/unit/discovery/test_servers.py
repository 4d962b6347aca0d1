"""Lists of servers as programs and people write them."""

from typing import Any

import pytest

from reviver.discovery.servers import WrongListError, one_line, read_servers
from tests.support.discovery import told

LIST = ["127.0.0.1:1", {"address": "App.Internal:80", "weight": 3, "backup": True}, "[::1]:2"]
READ = [("127.0.0.1:1", 1, False), ("app.internal:80", 3, True), ("[::1]:2", 1, False)]


@pytest.mark.parametrize("data", [LIST, tuple(LIST), {"servers": LIST}, {"servers": tuple(LIST)}])
def test_the_forms_are_those_of_a_pool(data: Any) -> None:
    assert told(read_servers(data)) == READ


def test_no_servers_are_a_list_too() -> None:
    assert read_servers([]) == ()


def test_a_bound_is_for_servers_of_which_nothing_is_said() -> None:
    data = ["127.0.0.1:1", {"address": "127.0.0.1:2", "max_connections": 0}, {"address": "127.0.0.1:3"}]
    assert [server.max_connections for server in read_servers(data, 9)] == [9, 0, 9]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "not a list of servers"),
        ("127.0.0.1:1", "not a list of servers"),
        ({"servers": "127.0.0.1:1"}, "servers: not a list of servers"),
        ({"servers": [], "more": 1}, "neither a list of servers nor a table with just that: servers"),
        ({}, "neither a list of servers nor a table with just that: servers"),
        (["127.0.0.1"], "[0]: '127.0.0.1' has no port (write HOST:PORT, [IPV6]:PORT for an IPv6 address)"),
        ([1], "[0]: '1' is not an address (write HOST:PORT, [IPV6]:PORT for an IPv6 address)"),
        ([None], "[0]: 'None' is not an address (write HOST:PORT, [IPV6]:PORT for an IPv6 address)"),
        ({"servers": [{"weight": 1}]}, "servers[0].address: is missing"),
        ([{"address": "a:1", "wait": 1}],
         "[0].wait: is not a known key (known here: address, weight, backup, max_connections)"),
        ([{"address": "a:1", "weight": 1001}], "[0].weight: input should be less than or equal to 1000"),
        ([{"address": "a:1", "backup": "maybe"}], "[0].backup: 'maybe' is neither true nor false"),
        (["a:1", "b:1", {"address": "A:1"}], "[2]: a:1 is there already"),
        (["a", "b", "c:1"],
         "[0]: 'a' has no port (write HOST:PORT, [IPV6]:PORT for an IPv6 address), and 1 more"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_on_one_line(data: Any, sentence: str) -> None:
    with pytest.raises(WrongListError) as raised:
        read_servers(data)
    assert str(raised.value) == sentence


def test_what_others_write_stays_on_one_line() -> None:
    assert one_line("a\r\n\x1b[31mred\x00\tb") == "a [31mred b"
    assert one_line("x" * 300) == "x" * 200 + "..."
