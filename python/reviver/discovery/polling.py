"""Sources that have to be asked again and again."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from reviver.config.models import Discover
from reviver.discovery.answers import Answer, Failed, Found, SourceError

__all__ = ["AGAIN", "Sleep", "pause_after", "polled", "polled_by_ttl"]

AGAIN = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds until a look is tried again, after one failure, two, and so on."""

Sleep = Callable[[float], Awaitable[None]]


def pause_after(failures: int) -> float:
    """Seconds until a look is tried again after so many failures in a row."""
    return AGAIN[min(failures, len(AGAIN)) - 1]


def polled_by_ttl(
    look: Callable[[], Awaitable[tuple[Found, float]]], settings: Discover, sleep: Sleep
) -> AsyncGenerator[Answer, None]:
    """Looks, and again when the first of the records is no longer valid, within the bounds of the settings."""
    return polled(
        look,
        timeout=settings.timeout / 1000,
        least=settings.min_ttl / 1000,
        most=settings.max_ttl / 1000,
        sleep=sleep,
    )


async def polled(
    look: Callable[[], Awaitable[tuple[Found, float]]],
    *,
    timeout: float,
    least: float,
    most: float,
    sleep: Sleep = asyncio.sleep,
) -> AsyncGenerator[Answer, None]:
    """Looks, and again when what was found is no longer valid: after as many seconds as `look` says.

    Between two looks are `least` seconds at least and `most` at most, also where one fails.
    """
    failures = 0
    while True:
        answer: Answer
        try:
            async with asyncio.timeout(timeout):
                answer, pause = await look()
        except SourceError as error:
            answer = Failed(str(error))
        except TimeoutError:
            answer = Failed(f"no answer within {timeout:g} s")
        if isinstance(answer, Failed):
            failures += 1
            pause = pause_after(failures)
        else:
            failures = 0
        yield answer
        await sleep(min(max(pause, least), most))
