"""Changes of files, as editors and configuration management make them."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from reviver.control import watch
from reviver.control.watch import changes, signature

PATIENCE = 30


def _notices(files: list[Path], change: Callable[[], object]) -> bool:
    """Whether a change made after the state was taken is noticed."""

    async def noticing() -> bool:
        stop = asyncio.Event()
        seen = signature(files)
        change()
        async for _ in changes(lambda: files, seen, stop):
            stop.set()
            return True
        return False

    return asyncio.run(asyncio.wait_for(noticing(), PATIENCE))


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY_MS", 50)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "r.yaml"
    path.write_text("one")
    return path


def test_a_file_that_is_written_to(file: Path) -> None:
    assert _notices([file], lambda: file.write_text("two"))


def test_a_file_that_is_replaced(file: Path) -> None:
    part = file.with_suffix(".part")
    part.write_text("two")
    assert _notices([file], lambda: part.replace(file))


def test_a_file_that_goes(file: Path) -> None:
    assert _notices([file], file.unlink)


def test_a_file_that_comes(tmp_path: Path) -> None:
    path = tmp_path / "users"
    assert _notices([path], path.touch)


def test_a_link_to_a_folder_that_is_turned(tmp_path: Path) -> None:
    """How configuration maps are mounted: file -> ..data/file, ..data -> a folder that is replaced as a whole."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "r.yaml").write_text(version)
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "r.yaml").symlink_to("..data/r.yaml")
    (tmp_path / "..new").symlink_to("two")
    assert _notices([tmp_path / "r.yaml"], lambda: (tmp_path / "..new").replace(tmp_path / "..data"))


def test_another_file_in_the_folder_is_nobodys_business(file: Path) -> None:
    async def noticing() -> int:
        stop = asyncio.Event()
        count = 0
        (file.parent / "other").touch()
        seen = signature([file])

        async def later() -> None:
            await asyncio.sleep(0)
            (file.parent / "another").touch()
            file.write_text("two")

        task = asyncio.ensure_future(later())
        async for _ in changes(lambda: [file], seen, stop):
            count += 1
            await task
            stop.set()
        return count

    assert asyncio.run(asyncio.wait_for(noticing(), PATIENCE)) == 1
