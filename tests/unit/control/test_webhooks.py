"""Webhooks: in order, in the background, again where it may help."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from reviver.control import webhooks
from reviver.control.webhooks import Webhooks
from tests.support.hooks import hook


def during(work: Callable[[Webhooks], Awaitable[None]], pauses: tuple[float, ...] = (0.0, 0.0)) -> list[str]:
    """What was said meanwhile."""
    said: list[str] = []

    async def run() -> None:
        sender = Webhooks(said.append, pauses)
        await work(sender)
        await sender.finish(20)

    asyncio.run(run())
    return said


def event(number: int) -> dict[str, Any]:
    return {"split": "shop", "kind": "step", "text": f"number {number}"}


def test_events_come_in_their_order() -> None:
    async def work(sender: Webhooks) -> None:
        for number in range(5):
            sender.send([there.url("/a"), there.url("/b")], event(number))

    with hook() as there:
        assert during(work) == []
    for path in ("/a", "/b"):
        came = [body["text"] for body, at in zip(there.bodies, there.paths, strict=True) if at == path]
        assert came == [f"number {number}" for number in range(5)]
    assert set(there.types) == {"application/json"}


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_what_may_pass_is_tried_again(status: int) -> None:
    async def work(sender: Webhooks) -> None:
        sender.send([there.url()], event(1))
        sender.send([there.url()], event(2))

    with hook((status, {}, b"")) as there:
        assert during(work) == []
    assert [body["text"] for body in there.bodies] == ["number 1", "number 1", "number 2"]


@pytest.mark.parametrize("status", [404, 301, 403])
def test_what_will_not_pass_is_given_up_and_said(status: int) -> None:
    async def work(sender: Webhooks) -> None:
        sender.send([there.url("/secret")], event(1))
        sender.send([there.url("/secret")], event(2))

    with hook((status, {}, b"no")) as there:
        [line] = during(work)
    assert [body["text"] for body in there.bodies] == ["number 1", "number 2"]
    assert line.startswith(f"webhook http://127.0.0.1:{there.port}: step was not delivered: it answered {status}")
    assert "secret" not in line


def test_nobody_there_is_given_up_after_all_attempts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    async def work(sender: Webhooks) -> None:
        sender.send([f"http://127.0.0.1:{port}/secret"], event(1))

    assert during(work) == [f"webhook http://127.0.0.1:{port}: step was not delivered: Connection refused"]


def test_sending_waits_for_nobody_and_the_end_not_for_long() -> None:
    said: list[str] = []

    async def run() -> None:
        sender = Webhooks(said.append)
        sender.send([there.url()], event(1))
        await asyncio.to_thread(there.wait)
        sender.send([there.url()], event(2))
        await sender.finish(0.01)

    with hook() as there:
        there.go.clear()
        asyncio.run(run())
        assert len(there.bodies) == 1


def test_of_too_many_the_oldest_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "WAITING", 2)

    async def work(sender: Webhooks) -> None:
        for number in range(4):
            sender.send([there.url()], event(number))

    with hook() as there:
        said = during(work)
    assert [body["text"] for body in there.bodies] == ["number 2", "number 3"]
    assert len(said) == 2
    assert said[0].endswith("too many events wait for it")
