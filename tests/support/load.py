"""Requests without a pause from several threads, while something happens to the servers."""

import threading
from collections import Counter
from typing import Self

from tests.support.client import Client, Given
from tests.support.fleet import who
from tests.support.stream import Closed
from tests.support.wait import until


class Load:
    """Runs until the end of its context. Each thread keeps a connection of its own and asks again when it is answered.

    With `people`, the threads speak for so many of them in turn: `X-User` is the person's number.
    """

    def __init__(
        self,
        port: int,
        *,
        threads: int = 8,
        method: str = "GET",
        target: str = "/",
        fields: Given = (),
        body: bytes | None = None,
        people: int = 0,
        pause: float = 0,
    ) -> None:
        self.port, self.method, self.target, self.fields, self.body = port, method, target, list(fields), body
        self.people, self.pause = people, pause
        #: Statuses, and what broke off as text.
        self.outcomes: Counter[int | str] = Counter()
        #: Who answered: `X-Origin`, or the status.
        self.by: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(threads)]

    def _run(self, number: int) -> None:
        client: Client | None = None
        person = number
        while not self._end.is_set():
            try:
                client = client or Client(self.port)
                who_asks = [("X-User", str(person))] if self.people else []
                response = client.ask(self.method, self.target, [*self.fields, *who_asks], self.body)
                outcome: int | str = response.status
                by = who(response)
                if (response.fields.get("Connection") or "").lower() == "close":
                    client.close()
                    client = None
            except (Closed, OSError, AssertionError) as error:
                outcome = by = f"{type(error).__name__}: {error}"
                if client:
                    client.close()
                client = None
            with self._lock:
                self.outcomes[outcome] += 1
                self.by[by] += 1
            person = (person + len(self._threads)) % self.people if self.people else 0
            if self.pause:
                self._end.wait(self.pause)

    @property
    def count(self) -> int:
        with self._lock:
            return self.outcomes.total()

    def wait_more(self, count: int, seconds: float = 30) -> None:
        """Waits until so many more requests are answered."""
        goal = self.count + count
        until(lambda: self.count >= goal, f"{count} more answers; {self.outcomes}", seconds)

    def fresh(self, count: int) -> Counter[str]:
        """Who answers the next ones, so many at least; of those that are under way now none counts."""
        self.wait_more(len(self._threads))
        with self._lock:
            before = self.by.copy()
        self.wait_more(count)
        with self._lock:
            return self.by - before

    def stop(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a request hangs"

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
