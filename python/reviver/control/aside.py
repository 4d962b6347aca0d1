"""Work of others in threads that hold up nobody, not even the end of the process."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def aside(work: Callable[[], T], name: str) -> T:
    """Runs `work` in a thread of its own and returns what it returns, or raises what it raises.

    What is no Exception comes as a RuntimeError. Unlike that of `asyncio.to_thread` the thread is no longer waited for
    once nobody wants its result.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(settled: Callable[[Any], None], value: Any) -> None:
        if not done.done():
            settled(value)

    def tell(settled: Callable[[Any], None], value: Any) -> None:
        # the loop may have ended meanwhile
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, settled, value)

    def run() -> None:
        try:
            value = work()
        except BaseException as error:
            if isinstance(error, Exception) and not isinstance(error, StopIteration):
                tell(done.set_exception, error)
                return
            # a future takes no StopIteration, and SystemExit would end the loop
            wrapped = RuntimeError(f"{type(error).__name__}: {error}")
            wrapped.__cause__ = error
            tell(done.set_exception, wrapped)
        else:
            tell(done.set_result, value)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done
