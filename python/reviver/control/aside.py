"""Work of others in threads that hold up nobody, not even the end of the process."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def aside(work: Callable[[], T], name: str) -> T:
    """Runs `work` in a thread of its own and returns what it returns, or raises what it raises.

    Unlike that of `asyncio.to_thread` the thread is no more waited for once nobody wants its result.
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
            # a StopIteration cannot be set on a future
            tell(done.set_exception, RuntimeError("StopIteration") if isinstance(error, StopIteration) else error)
        else:
            tell(done.set_result, value)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done
