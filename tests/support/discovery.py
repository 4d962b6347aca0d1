"""Sources of servers, driven step by step: no time passes by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from reviver.config.models import Discover, Pool, Server
from reviver.discovery import Answer, Failed, Found, Source

T = TypeVar("T")
PATIENCE = 30.0


class Pauses:
    """Stands for the time between two looks: it has passed when the next answer is asked for."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


def discover(**keys: object) -> Discover:
    """The table as it is written."""
    pool = Pool.model_validate({"discover": keys})
    assert pool.discover is not None
    return pool.discover


def answers(source: Source, count: int, between: Callable[[int], Awaitable[None] | None] | None = None) -> list[Answer]:
    """So many answers of a source; `between` is called after each, with how many there were."""

    async def gather() -> list[Answer]:
        found: list[Answer] = []
        async with aclosing(source.answers()) as stream:
            async for answer in stream:
                found.append(answer)
                if len(found) == count:
                    break
                if between is not None and (waits := between(len(found))) is not None:
                    await waits
        return found

    return asyncio.run(asyncio.wait_for(gather(), PATIENCE))


def addresses(answer: Answer) -> list[str]:
    assert isinstance(answer, Found), answer
    return [server.address for server in answer.servers]


def reason(answer: Answer) -> str:
    assert isinstance(answer, Failed), answer
    assert "\n" not in answer.reason
    return answer.reason


def told(servers: tuple[Server, ...]) -> list[tuple[str, int, bool]]:
    """Address, weight and whether it is a backup, of each."""
    return [(server.address, server.weight, server.backup) for server in servers]
