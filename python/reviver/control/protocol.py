"""The language of the control socket: one JSON object a line, in both directions.

A request is `{"reviver": 1, "command": NAME}`; `renew` may also have `"name"`, a text, and `cache.purge`,
`cache.get`, `pool.*` and `canary.*` have `"request"`, an object: what is asked for. The answer is any number of
lines `{"reviver": 1, "progress": {...}}` and one last line, either `{"reviver": 1, "result": {...}}` or
`{"reviver": 1, "error": SENTENCE, "diagnostics": [{...}, ...]}`; a diagnostic has the fields of
`reviver.errors.Diagnostic`. The number is the version of this language. Lines are bounded, so that neither side can
make the other hold much memory.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal, get_args

from reviver.errors import Diagnostic

VERSION = 1
REQUEST_LIMIT = 64 * 1024
"""Longest request line, in bytes."""
ANSWER_LIMIT = 64 * 1024 * 1024
"""Longest answer line, in bytes."""

Command = Literal[
    "ping", "status", "reload", "stop", "certificates", "renew", "cache.stats", "cache.purge", "cache.get",
    "pool.status", "pool.drain", "pool.restore", "pool.add", "pool.remove",
    "canary.status", "canary.set", "canary.promote", "canary.abort", "canary.resume",
    "canary.diff",
]  # fmt: skip

COMMANDS: tuple[Command, ...] = get_args(Command)


class ProtocolError(ValueError):
    """A line that is not of this language; the text says why."""


def encode(**fields: Any) -> bytes:
    """One line."""
    return json.dumps({"reviver": VERSION, **fields}, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The object on a line. Raises ProtocolError."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("not a line of JSON") from error
    if not isinstance(message, dict):
        raise ProtocolError("not a JSON object")
    if message.get("reviver") != VERSION:
        raise ProtocolError(f"version {message.get('reviver')!r} of the control protocol; this is version {VERSION}")
    return message


def diagnostics_of(message: Mapping[str, Any]) -> list[Diagnostic]:
    """The diagnostics of a refusal. Raises ProtocolError."""
    try:
        return [Diagnostic(**fields) for fields in message["diagnostics"]]
    except (KeyError, TypeError) as error:
        raise ProtocolError("a refusal with diagnostics of another form") from error


def command_of(message: Mapping[str, Any]) -> str:
    """The command that a request names. Raises ProtocolError."""
    command = message.get("command")
    if command not in COMMANDS:
        raise ProtocolError(f"unknown command {command!r}; there are: {', '.join(COMMANDS)}")
    return str(command)


def name_of(message: Mapping[str, Any]) -> str | None:
    """What a request is about, where it says so. Raises ProtocolError."""
    name = message.get("name")
    if name is not None and not isinstance(name, str):
        raise ProtocolError("the name is not a text")
    return name


def request_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """What a request asks for. Raises ProtocolError."""
    request = message.get("request")
    if not isinstance(request, dict):
        raise ProtocolError('there is no object under "request"')
    return request


def text_of(request: Mapping[str, Any], key: str) -> str:
    """A text of what a request asks for. Raises ProtocolError."""
    value = request.get(key)
    if not isinstance(value, str):
        raise ProtocolError(f'there is no text under "{key}"')
    return value
