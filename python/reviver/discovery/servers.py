"""Lists of servers as programs and people write them: the forms of `servers` in a pool."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from reviver.config.models import Server
from reviver.config.models.base import Shorthand
from reviver.config.positions import KeyPath, path_text
from reviver.discovery.answers import SourceError

__all__ = ["WrongListError", "one_line", "read_servers"]


class WrongListError(SourceError):
    """Something in a list is wrong."""

    def __init__(self, wrong: list[tuple[KeyPath, str]]) -> None:
        path, sentence = wrong[0]
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        super().__init__(f"{path_text(path)}: {sentence}{more}" if path else f"{sentence}{more}")
        self.wrong = wrong
        """Key path and sentence of each mistake, never none."""


def read_servers(data: Any, max_connections: int = 0) -> tuple[Server, ...]:
    """The servers of a list, or of a table with nothing but a list `servers`. Raises WrongListError.

    `max_connections` is that of servers of which nothing is said.
    """
    at: KeyPath = ()
    if isinstance(data, dict):
        if data.keys() != {"servers"}:
            raise WrongListError([((), "neither a list of servers nor a table with just that: servers")])
        at, data = ("servers",), data["servers"]
    if not isinstance(data, (list, tuple)):
        raise WrongListError([(at, "not a list of servers")])
    try:
        servers = _reader().validate_python(tuple(data))
    except ValidationError as error:
        raise WrongListError(list(_mistakes(at, data, error.errors(include_url=False)))) from None
    first: dict[str, int] = {}
    twice = []
    for index, server in enumerate(servers):
        if first.setdefault(server.address, index) != index:
            twice.append(((*at, index), f"{server.address} is there already"))
    if twice:
        raise WrongListError(twice)
    if not max_connections:
        return servers
    bound = {"max_connections": max_connections}
    return tuple(one if bound.keys() & one.model_fields_set else one.model_copy(update=bound) for one in servers)


def one_line(text: str, most: int = 200) -> str:
    """What others wrote, for a line of the journal."""
    text = " ".join(re.sub(r"[^\x20-\x7e\xa0-\U0010ffff]", " ", text).split())
    return text if len(text) <= most else f"{text[:most]}..."


@cache
def _reader() -> TypeAdapter[tuple[Server, ...]]:
    return TypeAdapter(tuple[Annotated[Server, Shorthand("address")], ...])


def _mistakes(at: KeyPath, data: Sequence[Any], details: Iterable[ErrorDetails]) -> Iterator[tuple[KeyPath, str]]:
    for detail in details:
        index, *keys = detail["loc"]
        # just the address may be written in place of the table
        path = (*at, index, *(keys if isinstance(data[int(index)], dict) else ()))
        context = detail.get("ctx", {})
        match detail["type"]:
            case "refused":
                hint = f" ({context['hint']})" if context["hint"] else ""
                yield path, f"{context['sentence']}{hint}"
            case "extra_forbidden":
                yield path, f"is not a known key (known here: {', '.join(Server.model_fields)})"
            case "missing":
                yield path, "is missing"
            case _:
                yield path, f"{detail['msg'][:1].lower()}{detail['msg'][1:]}"
