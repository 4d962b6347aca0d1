"""Waiting for what will be true, never for time to pass."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tests.support.stream import PATIENCE

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    """Polls until the condition is true and returns what it gave; fails with `what` when it never is."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {seconds:g} s in vain: {what}"
        time.sleep(0.01)
    return value


def wait_for(event: threading.Event, what: str, seconds: float = PATIENCE) -> None:
    assert event.wait(seconds), f"waited {seconds:g} s in vain: {what}"


def settled(value: Callable[[], int], still: float = 0.4, seconds: float = PATIENCE) -> int:
    """Waits until a growing number has stopped growing for a while, and returns it."""
    end = time.monotonic() + seconds
    last, since = value(), time.monotonic()
    while time.monotonic() - since < still:
        assert time.monotonic() < end, "it grows without end"
        time.sleep(0.02)
        if (now := value()) != last:
            last, since = now, time.monotonic()
    return last


class Together:
    """Runs one function in several threads and re-raises the first failure."""

    def __init__(self, function: Callable[[int], None], count: int) -> None:
        self.errors: list[BaseException] = []
        self.function = function
        self.threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self, index: int) -> None:
        try:
            self.function(index)
        except BaseException as error:  # handed to the test's own thread
            self.errors.append(error)

    def join(self, seconds: float = 60.0) -> None:
        for thread in self.threads:
            thread.join(seconds)
            assert not thread.is_alive(), "a thread hangs"
        if self.errors:
            raise self.errors[0]
