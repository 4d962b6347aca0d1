"""Changes of files, as editors and configuration management make them."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from reviver.control import watch
from reviver.control.files import signature
from reviver.control.watch import Together, changes, stirrings

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


class Pair:
    """Two files that fit together when their texts are equal, and who takes them over."""

    def __init__(self, folder: Path) -> None:
        self.files = [folder / "site.pem", folder / "site.key"]
        for file in self.files:
            file.write_text("one")
        self.taken = signature(self.files)
        self.texts = ["one"]
        self.refused: list[str] = []
        #: Called after each attempt that failed.
        self.then: Callable[[], object] = lambda: None
        self.together = Together(lambda: self.taken, self._take, lambda error: self.refused.append(str(error)))

    async def _take(self) -> Exception | None:
        state = signature(self.files)
        certificate, key = (file.read_text() for file in self.files)
        if certificate != key:
            self.then()
            return ValueError(f"{key} does not fit {certificate}")
        self.taken = state
        self.texts.append(certificate)
        return None

    def look(self) -> None:
        asyncio.run(asyncio.wait_for(self.together.look(asyncio.Event()), PATIENCE))


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    monkeypatch.setattr(watch, "TOGETHER", 0.1)
    monkeypatch.setattr(watch, "TOGETHER_LOOK", 0.01)
    return Pair(tmp_path)


def test_files_that_have_not_changed_are_not_taken_again(pair: Pair) -> None:
    pair.look()
    assert pair.texts == ["one"]


def test_files_that_fit_are_taken_at_once(pair: Pair) -> None:
    for file in pair.files:
        file.write_text("second")
    pair.look()
    assert pair.texts == ["one", "second"]


def test_the_second_file_is_awaited(pair: Pair) -> None:
    pair.files[0].write_text("second")
    pair.then = lambda: pair.files[1].write_text("second")
    pair.look()
    assert pair.texts == ["one", "second"]
    assert pair.refused == []


def test_files_that_do_not_fit_are_refused_once_and_taken_when_they_do(pair: Pair) -> None:
    pair.files[0].write_text("second")
    pair.look()
    pair.look()
    assert pair.refused == ["one does not fit second"]
    pair.files[0].write_text("a third")
    pair.look()
    assert pair.refused == ["one does not fit second", "one does not fit a third"]
    pair.files[1].write_text("a third")
    pair.look()
    assert pair.texts == ["one", "a third"]
    assert len(pair.refused) == 2


def test_what_is_put_back_is_no_change(pair: Pair) -> None:
    link = pair.files[0]
    target = link.rename(link.with_name("old"))
    link.symlink_to("new")
    link.with_name("new").write_text("second")
    pair.look()
    link.unlink()
    target.rename(link)
    pair.look()
    assert len(pair.refused) == 1
    assert pair.texts == ["one"]


def test_a_folder_that_comes_later_is_followed(tmp_path: Path) -> None:
    """As when a reload is the first one to name a file."""
    path = tmp_path / "late" / "site.pem"
    path.parent.mkdir()
    files: list[Path] = []

    async def noticing() -> None:
        stop = asyncio.Event()
        async for _ in stirrings(lambda: files, stop):
            if path.exists():
                stop.set()
            elif files:
                path.touch()
            else:
                files.append(path)

    asyncio.run(asyncio.wait_for(noticing(), PATIENCE))
    assert path.exists()
