"""Lines of the control socket."""

import pytest

from reviver.control import protocol


def test_a_message_survives_the_way() -> None:
    line = protocol.encode(command="status", text="two\nlines")
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    message = protocol.decode(line)
    assert message == {"reviver": 1, "command": "status", "text": "two\nlines"}
    assert protocol.command_of(message) == "status"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"GET / HTTP/1.1\r\n", "not a line of JSON"),
        (b"[" * 100_000, "not a line of JSON"),
        (b"\xff\xfe\n", "not a line of JSON"),
        (b"[]\n", "not a JSON object"),
        (b"{}\n", "version None"),
        (b'{"reviver":2}\n', "version 2"),
    ],
)
def test_other_lines_are_refused_with_a_sentence(line: bytes, sentence: str) -> None:
    with pytest.raises(protocol.ProtocolError, match=sentence):
        protocol.decode(line)


@pytest.mark.parametrize("request_of", [{}, {"request": None}, {"request": "all"}, {"request": [1]}])
def test_what_is_asked_of_the_engine_is_an_object(request_of: dict[str, object]) -> None:
    with pytest.raises(protocol.ProtocolError, match='no object under "request"'):
        protocol.request_of({"command": "cache.purge", **request_of})


def test_unknown_commands_are_named_with_the_known_ones() -> None:
    with pytest.raises(protocol.ProtocolError, match="'restart'.*ping, status, reload, stop"):
        protocol.command_of({"command": "restart"})
