"""What outlives a proxy: the file, and what is believed of it."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from reviver.control.state import SplitRecord, State, StateFile
from tests.unit.control.test_overlay import added

SPLIT = SplitRecord([["canary", "v2", 0], ["stable", "v1", 10_000]], [2500, 7500], {"step": 2})


def whole() -> State:
    return State(added("10.0.0.3:80", weight=2), {"api": {"10.0.0.1:80"}}, {"shop": SPLIT})


def kept(base: Path, state: State) -> StateFile:
    file = StateFile("/etc/reviver.yaml", base)
    file.save(state.as_dict(), keep=bool(state))
    return file


def test_what_is_saved_is_found_by_the_same_configuration_alone(tmp_path: Path) -> None:
    said: list[str] = []
    kept(tmp_path, whole())
    assert StateFile("/etc/reviver.yaml", tmp_path).load(said.append) == whole()
    assert StateFile("/etc/other.yaml", tmp_path).load(said.append) == State()
    assert said == []


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        file = kept(tmp_path, whole())
    finally:
        os.umask(previous)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.folder.stat().st_mode) == 0o700
    assert [path.name for path in file.folder.iterdir()] == ["state.json"]


def test_without_anything_to_keep_there_is_no_file(tmp_path: Path) -> None:
    file = kept(tmp_path, State(drained={"api": set()}))
    assert not file.folder.exists()
    file.save(whole().as_dict(), keep=True)
    assert file.path.exists()
    file.save(State().as_dict(), keep=False)
    assert not file.path.exists()


def test_it_is_replaced_in_one_step_and_only_when_it_differs(tmp_path: Path) -> None:
    file = kept(tmp_path, whole())
    first = file.path.stat().st_ino
    file.save(whole().as_dict(), keep=True)
    assert file.path.stat().st_ino == first
    with file.path.open() as reader:
        file.save(State(splits={"shop": SPLIT}).as_dict(), keep=True)
        assert json.load(reader)["drained"] == {"api": ["10.0.0.1:80"]}, "who reads sees the old one to its end"
    assert json.loads(file.path.read_text())["drained"] == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("{", "Expecting"),
        ("[]", "not of a form"),
        ("\udcff", "codec can't decode"),
        ({"version": 2}, "version 2; this is version 1"),
        ({"drained": 5}, "not of a form"),
        ({"splits": {"shop": {"written": [["canary", "v2", 0]], "weights": [1], "autopilot": None}}}, "add up"),
        ({"servers": {"api": {"added": [{"address": "nowhere"}], "removed": []}}}, "has no port"),
    ],
)
def test_one_that_cannot_be_used_is_told_and_ignored(tmp_path: Path, change: Any, reason: str) -> None:
    said: list[str] = []
    file = kept(tmp_path, whole())
    text = change if isinstance(change, str) else json.dumps({**json.loads(file.path.read_text()), **change})
    file.path.write_text(text, errors="surrogateescape")
    assert StateFile("/etc/reviver.yaml", tmp_path).load(said.append) == State()
    [line] = said
    assert line.startswith("what was changed at run time is not restored: ")
    assert reason in line
    assert str(file.path) in line


def test_it_can_be_written_again_after_it_was_ignored(tmp_path: Path) -> None:
    file = kept(tmp_path, whole())
    file.path.write_text("{")
    again = StateFile("/etc/reviver.yaml", tmp_path)
    again.load(lambda _: None)
    again.save(whole().as_dict(), keep=True)
    assert StateFile("/etc/reviver.yaml", tmp_path).load(pytest.fail) == whole()


@pytest.mark.parametrize(("name", "own"), [("state.json", True), (".state.json.x1", True), ("notes", False)])
def test_its_own_files_are_known(name: str, own: bool) -> None:
    assert StateFile.is_own(name) is own
