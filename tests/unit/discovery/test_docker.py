"""Servers from a Docker daemon: its API on a unix socket."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reviver.config.models import Docker as Table
from reviver.discovery import docker
from reviver.discovery.docker import Containers, servers_of
from reviver.discovery.polling import Sleep
from tests.support.discovery import Pauses, addresses, answers, discover, reason
from tests.support.docker import Container, Docker


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Docker]:
    with Docker(tmp_path / "docker.sock") as daemon:
        yield daemon


async def _at_once(_: float) -> None:
    await asyncio.sleep(0)


def source(
    daemon: Docker, table: object = True, pool: str = "api", sleep: Sleep = _at_once, **keys: object
) -> Containers:
    return Containers(discover(docker=table, **keys), pool, daemon.path, sleep)


def found(container: Container | dict[str, Any], **table: Any) -> tuple[list[str], tuple[str, ...]]:
    summary = container.summary() if isinstance(container, Container) else container
    result = servers_of([summary], Table.model_validate(table), 0)
    return [server.address for server in result.servers], result.notes


def web(**keys: Any) -> Container:
    return Container(**{"name": "web", "labels": {}, "networks": {"bridge": "172.17.0.2"}, **keys})


# -- what a list of containers stands for


@pytest.mark.parametrize(
    ("keys", "table", "address"),
    [
        ({}, {}, "172.17.0.2:80"),
        ({"ports": ("8080", "53/udp", "8080")}, {}, "172.17.0.2:8080"),
        ({"ports": ("80", "443"), "labels": {"reviver.port": "443"}}, {}, "172.17.0.2:443"),
        ({"ports": ("80", "443")}, {"port": 443}, "172.17.0.2:443"),
        ({"labels": {"reviver.port": "81"}}, {"port": 443}, "172.17.0.2:81"),
        ({"ports": (), "labels": {"reviver.port": "81"}}, {}, "172.17.0.2:81"),
        ({"networks": {"a": "10.0.0.2", "b": "10.0.1.2"}}, {"network": "b"}, "10.0.1.2:80"),
        ({"networks": {"six": "2001:db8::2"}}, {}, "[2001:db8::2]:80"),
        ({"networks": {"host": ""}}, {}, "127.0.0.1:80"),
    ],
)
def test_where_a_container_is_reached(keys: dict[str, Any], table: dict[str, Any], address: str) -> None:
    assert found(web(**keys), **table) == ([address], ())


@pytest.mark.parametrize(
    ("keys", "table", "why"),
    [
        ({"ports": ()}, {}, "it exposes no port: say which by the label reviver.port"),
        ({"ports": ("443", "80")}, {}, "it exposes 80, 443: say which by the label reviver.port"),
        ({"labels": {"reviver.port": "http"}}, {}, "its label reviver.port is 'http', not a number from 1 to 65535"),
        ({"labels": {"reviver.port": "65536"}}, {}, "its label reviver.port is '65536', not a number from 1 to 65535"),
        ({"labels": {"reviver.weight": "-1"}}, {}, "its label reviver.weight is '-1', not a number from 0 to 1000"),
        ({"networks": {"b": "10.0.1.2", "a": "10.0.0.2"}}, {}, "it is in a, b: say which network"),
        ({"networks": {}}, {}, "it is in no network"),
        ({"networks": {"none": ""}}, {}, "it has no address in the network none"),
        ({}, {"network": "backend"}, "it is not in the network backend"),
    ],
)
def test_one_that_cannot_be_reached_is_left_out_with_a_reason(
    keys: dict[str, Any], table: dict[str, Any], why: str
) -> None:
    assert found(web(**keys), **table) == ([], (f"container web is left out: {why}",))


def test_a_daemon_may_leave_out_what_is_empty() -> None:
    assert found({"Id": "0123456789abcdef"}) == ([], ("container 0123456789ab is left out: it is in no network",))
    bare = {"Id": "0", "Names": None, "Labels": None, "Ports": None, "NetworkSettings": {"Networks": None}}
    assert found(bare) == ([], ("container 0 is left out: it is in no network",))


def test_weights_and_bounds() -> None:
    containers = [
        web(name="c", labels={"reviver.weight": "5"}, networks={"n": "10.0.0.3"}).summary(),
        web(name="a", labels={"reviver.weight": "0"}, networks={"n": "10.0.0.9"}).summary(),
        web(name="b", networks={"n": "10.0.0.1"}).summary(),
        web(name="d", networks={"n": "10.0.0.1"}).summary(),
    ]
    servers = servers_of(containers, Table.model_validate({}), 7).servers
    assert [(server.address, server.weight, server.max_connections) for server in servers] == [
        ("10.0.0.9:80", 0, 7), ("10.0.0.1:80", 1, 7), ("10.0.0.3:80", 5, 7),
    ]  # fmt: skip


# -- following a daemon


def following(daemon: Docker, *changes: Callable[[], object], **keys: Any) -> list[list[str]]:
    """The servers at the beginning and after each change."""

    def between(count: int) -> None:
        changes[count - 1]()

    return [addresses(answer) for answer in answers(source(daemon, **keys), len(changes) + 1, between)]


def test_containers_come_and_go(daemon: Docker) -> None:
    daemon.run("one", "172.17.0.2:80")
    daemon.run("else", "172.17.0.9:80", pool="web")
    assert following(
        daemon,
        lambda: daemon.run("two", "172.17.0.3:80"),
        lambda: daemon.stop("one"),
        lambda: daemon.stop("two"),
    ) == [["172.17.0.2:80"], ["172.17.0.2:80", "172.17.0.3:80"], ["172.17.0.3:80"], []]


def test_a_container_with_a_health_check_counts_while_it_is_healthy(daemon: Docker) -> None:
    daemon.run("one", "172.17.0.2:80")
    assert following(
        daemon,
        lambda: daemon.run("two", "172.17.0.3:80", health="starting"),
        lambda: daemon.turn("two", "healthy"),
        lambda: daemon.turn("two", "unhealthy"),
        lambda: daemon.turn("two", "healthy"),
    ) == [
        ["172.17.0.2:80"],
        ["172.17.0.2:80"],
        ["172.17.0.2:80", "172.17.0.3:80"],
        ["172.17.0.2:80"],
        ["172.17.0.2:80", "172.17.0.3:80"],
    ]


def test_one_that_is_paused_does_not_count(daemon: Docker) -> None:
    daemon.run("one", "172.17.0.2:80")

    def pause() -> None:
        daemon.containers["one"].state = "paused"
        daemon._tell("pause", daemon.containers["one"])

    assert following(daemon, pause) == [["172.17.0.2:80"], []]


def test_the_label_is_what_is_written(daemon: Docker) -> None:
    daemon.run("one", "172.17.0.2:80", pool="web", labels={"com.example.role": "app"})
    daemon.run("two", "172.17.0.3:80")
    assert following(daemon, table={"label": "com.example.role=app"}) == [["172.17.0.2:80"]]
    assert following(daemon, table={"label": "com.example.role"}) == [["172.17.0.2:80"]]
    assert following(daemon, table={"label": "reviver.pool"}) == [["172.17.0.2:80", "172.17.0.3:80"]]
    assert following(daemon, pool="web") == [["172.17.0.2:80"]]


def test_what_health_checks_do_all_the_time_is_not_listened_to(daemon: Docker) -> None:
    daemon.run("one", "172.17.0.2:80")

    def change() -> None:
        for _ in range(20):
            daemon.check("one")
        daemon.run("two", "172.17.0.3:80")

    following(daemon, change)
    assert daemon.listed() == 2


def test_events_that_come_together_are_one_look(daemon: Docker) -> None:
    async def pause(_: float) -> None:
        """So long that all of them have come."""
        await asyncio.sleep(0.05)

    def deploy() -> None:
        for number in range(20):
            daemon.run(f"c{number:02}", f"172.17.0.{number + 2}:80")

    first, second = answers(source(daemon, sleep=pause), 2, lambda _: deploy())
    assert addresses(first) == []
    assert len(addresses(second)) == 20
    assert daemon.listed() == 2


def test_it_is_listed_now_and_then_without_an_event(daemon: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "LOOK_EVERY", 0.01)
    daemon.run("one", "172.17.0.2:80")

    def connect(_: int) -> None:
        daemon.containers["one"].networks = {"backend": "10.0.0.2"}

    *_, last = answers(source(daemon), 3, connect)
    assert addresses(last) == ["10.0.0.2:80"]


def test_a_daemon_that_restarts(daemon: Docker) -> None:
    daemon.run("one", "172.17.0.2:80")
    pauses = Pauses()

    def change(count: int) -> None:
        if count == 1:
            daemon.down()
        elif count == 3:
            daemon.up()
            daemon.run("two", "172.17.0.3:80")

    first, second, third, last = answers(source(daemon, sleep=pauses), 4, change)
    assert addresses(first) == ["172.17.0.2:80"]
    assert reason(second) == reason(third) == f"{daemon.path}: No such file or directory"
    assert addresses(last) == ["172.17.0.2:80", "172.17.0.3:80"]
    assert pauses.taken == [docker.TOGETHER, 1, 2, 5], "what it does after each failure takes longer"


@pytest.mark.parametrize("version", ["1.41", "1.55", None])
def test_the_version_is_the_newest_of_the_daemon(daemon: Docker, version: str | None) -> None:
    daemon.version = version
    daemon.run("one", "172.17.0.2:80")
    assert following(daemon) == [["172.17.0.2:80"]]


def test_what_a_daemon_refuses_is_said_in_its_words(daemon: Docker) -> None:
    daemon.refuses = (403, "authorization denied by plugin:\nread only")
    (failed,) = answers(source(daemon), 1)
    assert reason(failed) == "it answers 403 Refused: authorization denied by plugin: read only"


def test_a_socket_that_nobody_answers_at(daemon: Docker) -> None:
    daemon.sock.close()
    (failed,) = answers(source(daemon), 1)
    assert reason(failed) == f"{daemon.path}: Connection refused"


def test_a_daemon_that_does_not_answer(daemon: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(daemon, "_matching", lambda _: over.wait(60))
    (failed,) = answers(source(daemon, timeout="100ms"), 1)
    over.set()
    assert reason(failed) == f"{daemon.path}: no answer within 0.1 s"
