"""Which answers of a source count, and what is told of them."""

import asyncio
from collections.abc import AsyncGenerator

from reviver.config.models import Server
from reviver.discovery import Answer, Discoverer, Failed, Found
from reviver.errors import OperationError
from tests.support.discovery import discover

FAILS = "pool api: discovery by file fails, and servers stay as they are: "
WORKS = "pool api: discovery by file works again"


class Script:
    """A source that says what is written."""

    def __init__(self, *answers: Answer) -> None:
        self.left = answers

    async def answers(self) -> AsyncGenerator[Answer, None]:
        for answer in self.left:
            yield answer


def found(*addresses: str, notes: tuple[str, ...] = (), **keys: object) -> Found:
    return Found(tuple(Server.model_validate({"address": address, **keys}) for address in addresses), notes)


def followed(*answers: Answer, refuses: str | None = None, **keys: object) -> tuple[list[list[str]], list[str]]:
    """The lists that were taken, and the lines that were told."""
    taken: list[list[str]] = []
    told: list[str] = []

    async def take(servers: tuple[Server, ...]) -> None:
        if refuses is not None and any(server.address == refuses for server in servers):
            raise OperationError("no more memory")
        taken.append([server.address for server in servers])

    async def follow() -> None:
        discoverer = Discoverer("api", discover(file="s.json", **keys), Script(*answers), take, told.append)
        assert not discoverer.looked.is_set()
        await discoverer.run()
        assert discoverer.looked.is_set()
        assert (discoverer.failing is None) == (not told or not told[-1].startswith(FAILS))

    asyncio.run(follow())
    return taken, told


def test_only_what_is_different_is_taken() -> None:
    one, two = found("a:1"), found("a:1", "b:1")
    assert followed(one, found("a:1"), two, found("b:1", "a:1"), found("b:1", "a:1", weight=2)) == (
        [["a:1"], ["a:1", "b:1"], ["b:1", "a:1"], ["b:1", "a:1"]],
        [],
    )


def test_a_failure_is_told_when_it_begins_and_when_it_ends() -> None:
    taken, told = followed(
        found("a:1"),
        Failed("refused"),
        Failed("refused"),
        Failed("timeout"),
        found("a:1"),
        Failed("refused"),
        found("b:1"),
    )
    assert taken == [["a:1"], ["b:1"]]
    assert told == [FAILS + "refused", WORKS, FAILS + "refused", WORKS]


def test_another_mistake_of_a_person_is_told_too() -> None:
    _, told = followed(Failed("one", anew=True), Failed("one", anew=True), Failed("two", anew=True))
    assert told == [FAILS + "one", FAILS + "two"]


def test_an_answer_with_too_few_servers_is_not_believed() -> None:
    taken, told = followed(found("a:1", "b:1"), found(), found(), found("c:1"), found("c:1", "d:1"), min_servers=2)
    assert taken == [["a:1", "b:1"], ["c:1", "d:1"]]
    assert told == [FAILS + "it finds no server, and min_servers is 2", WORKS]


def test_one_server_is_enough_unless_more_is_written() -> None:
    taken, told = followed(found("a:1"), found(notes=("there is no name app.internal",)))
    assert taken == [["a:1"]]
    assert told == [FAILS + "it finds no server, and min_servers is 1: there is no name app.internal"]


def test_no_server_is_an_answer_where_that_is_written() -> None:
    assert followed(found("a:1"), found(), min_servers=0) == ([["a:1"], []], [])


def test_what_is_left_out_is_told_once_until_it_changes() -> None:
    _, told = followed(
        found("a:1", notes=("x is left out",)),
        found("a:1", notes=("x is left out", "y is left out")),
        found("a:1"),
        found("a:1", notes=("x is left out",)),
    )
    assert told == ["pool api: x is left out", "pool api: y is left out", "pool api: x is left out"]


def test_what_cannot_be_put_in_force_is_a_failure_and_tried_again() -> None:
    taken, told = followed(found("a:1"), found("b:1"), found("b:1"), found("a:1"), refuses="b:1")
    assert taken == [["a:1"]]
    assert told == [FAILS + "no more memory", WORKS]
