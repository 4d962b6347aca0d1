"""Servers from a file, as editors, programs and configuration management write it."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path

import pytest

from reviver.control import watch
from reviver.control.files import signature
from reviver.discovery.answers import SourceError
from reviver.discovery.file import SETTLED, WatchedFile, read_file
from tests.support.discovery import addresses, answers, reason, told

ONE, TWO = '["127.0.0.1:1"]', '["127.0.0.1:1", "127.0.0.1:2"]'


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY_MS", 50)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "servers.json"
    path.write_text(ONE)
    return path


def source(path: Path) -> WatchedFile:
    return WatchedFile(path, watch.stirrings, signature)


def after(path: Path, change: Callable[[], object]) -> list[str]:
    """What is found after a change."""

    def between(_: int) -> None:
        change()

    first, second = answers(source(path), 2, between)
    assert addresses(first) == ["127.0.0.1:1"]
    return addresses(second)


def replace(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)


def test_a_file_that_is_replaced(path: Path) -> None:
    assert after(path, lambda: replace(path, TWO)) == ["127.0.0.1:1", "127.0.0.1:2"]


def test_a_file_that_is_written_into(path: Path) -> None:
    assert after(path, lambda: path.write_text(TWO)) == ["127.0.0.1:1", "127.0.0.1:2"]


def test_a_link_that_leads_elsewhere(tmp_path: Path) -> None:
    for name, text in (("one", ONE), ("two", TWO)):
        (tmp_path / name).write_text(text)
    link, other = tmp_path / "servers.json", tmp_path / "link"
    link.symlink_to("one")
    other.symlink_to("two")
    assert after(link, lambda: other.replace(link)) == ["127.0.0.1:1", "127.0.0.1:2"]


def test_a_file_that_is_written_in_steps_is_read_when_it_is_complete(path: Path) -> None:
    """Half of it would be an error, and the beginning of a list in YAML even another list."""
    written = [0]

    def write() -> None:
        written[0] = min(written[0] + 2, len(TWO))
        path.write_text(TWO[: written[0]])

    async def stirrings(_: Callable[[], Iterable[Path]], __: asyncio.Event) -> AsyncGenerator[None, None]:
        write()
        yield

    async def pause(seconds: float) -> None:
        """What goes on in the meantime: the next step."""
        assert seconds == SETTLED
        write()

    _, second = answers(WatchedFile(path, stirrings, signature, sleep=pause), 2)
    assert addresses(second) == ["127.0.0.1:1", "127.0.0.1:2"]


def test_a_file_that_is_missing_and_comes(tmp_path: Path) -> None:
    path = tmp_path / "servers.json"
    missing, found = answers(source(path), 2, lambda _: replace(path, ONE))
    assert reason(missing) == f"{path}: there is no such file"
    assert addresses(found) == ["127.0.0.1:1"]


def test_a_file_in_a_folder_that_comes_later(tmp_path: Path) -> None:
    path = tmp_path / "made" / "servers.json"

    def make(_: int) -> None:
        path.parent.mkdir()
        path.write_text(ONE)

    _, found = answers(source(path), 2, make)
    assert addresses(found) == ["127.0.0.1:1"]


def test_a_broken_file_and_a_mended_one(path: Path) -> None:
    def change(count: int) -> None:
        replace(path, ['["127.0.0.1:1"', '["127.0.0.1"]', TWO][count - 1])

    _, broken, wrong, found = answers(source(path), 4, change)
    assert reason(broken) == f"{path}:1:15: JSON: expecting ',' delimiter"
    assert reason(wrong).startswith(f"{path}:1:2: [0]: '127.0.0.1' has no port")
    assert broken.anew and wrong.anew, "each is another mistake of a person"  # type: ignore[union-attr]
    assert addresses(found) == ["127.0.0.1:1", "127.0.0.1:2"]


def test_a_file_that_is_only_touched_is_another_state_with_the_same_servers(path: Path) -> None:
    before = path.stat().st_mtime_ns
    assert after(path, lambda: os.utime(path, ns=(before + 1, before + 1))) == ["127.0.0.1:1"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.json", '{"servers": ["a:1", {"address": "b:2", "weight": 3}]}'),
        ("s.yaml", "- a:1\n- {address: b:2, weight: 3}\n"),
        ("s.yml", "servers:\n  - a:1\n  - address: b:2\n    weight: 3\n"),
        ("s.toml", 'servers = ["a:1", {address = "b:2", weight = 3}]\n'),
        ("s", "# any other is YAML\n[a:1, {address: b:2, weight: 3}]"),
    ],
)
def test_formats(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert told(read_file(path).servers) == [("a:1", 1, False), ("b:2", 3, False)]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("s.yaml", "- a:1\n- {address: b:2, wieght: 3}\n", "2:18: [1].wieght: is not a known key"),
        ("s.yaml", "- a:1\n-\n", "2:2: [1]: 'None' is not an address"),
        ("s.yaml", "# nothing", "neither a list of servers nor a table with just that: servers"),
        ("s.json", '{"servers": [{"weight": 1}]}', "1:14: servers[0].address: is missing"),
        ("s.json", '{"servers": [], "servers": []}', "servers: is given twice"),
        ("s.yaml", "- a\n- b\n- c\n", "1:3: [0]: 'a' has no port"),
    ],
)
def test_mistakes_have_a_place(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(SourceError) as raised:
        read_file(path)
    assert sentence in str(raised.value)
    assert str(raised.value).startswith(str(path))
