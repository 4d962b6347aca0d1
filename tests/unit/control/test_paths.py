"""Where the control socket is."""

import os
import socket
import stat
from pathlib import Path

import pytest

from reviver.control import paths
from reviver.errors import OperationError


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def test_folders_are_tried_in_a_fixed_order() -> None:
    environ = {"RUNTIME_DIRECTORY": "/run/a:/run/b", "XDG_RUNTIME_DIR": "/run/user/0"}
    assert paths.folders(environ, uid=0)[:3] == [Path("/run/a"), Path("/run/user/0/reviver"), Path("/run/reviver")]
    assert paths.folders({}, uid=7)[0] == Path("/run/user/7/reviver")
    assert Path("/run/reviver") not in paths.folders({}, uid=7)


def test_the_name_follows_the_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert paths.identity_of(Path("a.yaml")) == paths.identity_of(tmp_path / "x" / ".." / "a.yaml")
    assert paths.name_of("/a") != paths.name_of("/b")
    assert paths.name_of("/a") == paths.name_of("/a")


def test_the_folder_is_made_private(runtime: Path) -> None:
    path = paths.choose("/some/reviver.yaml")
    assert path.parent == runtime / "reviver"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert paths.find("/some/reviver.yaml") == []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert paths.find("/some/reviver.yaml") == [path]
        assert path in paths.find_all()


def test_one_that_gives_up_root_gets_a_folder_of_its_own(runtime: Path) -> None:
    path = paths.choose("/some/reviver.yaml", shared=True)
    assert path.parent.parent == runtime / "reviver"
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o711
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert paths.find("/some/reviver.yaml") == [path]
        assert path in paths.find_all()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_that_was_given_away_is_taken_back(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    folder.chmod(0o777)
    paths.take_back(folder)
    found = folder.stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (0, 0o700)
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(OperationError, match="belongs to somebody else"):
        paths.take_back(link)


def test_a_folder_that_others_can_write_to_is_not_used(runtime: Path) -> None:
    folder = runtime / "reviver"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(OperationError, match="written to by others"):
        paths.secure_folder(folder)
    assert paths.choose("/x").parent != folder


def test_a_link_in_the_folders_place_is_not_followed(runtime: Path) -> None:
    (runtime / "elsewhere").mkdir()
    (runtime / "reviver").symlink_to(runtime / "elsewhere")
    with pytest.raises(OperationError, match="belongs to somebody else"):
        paths.secure_folder(runtime / "reviver")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make somebody else's folder")
def test_somebody_elses_folder_is_not_used(runtime: Path) -> None:
    folder = runtime / "reviver"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    with pytest.raises(OperationError, match="belongs to somebody else"):
        paths.secure_folder(folder)


def test_a_path_that_no_unix_socket_can_have_is_said_to_be_too_long(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="longer than 107 bytes"):
        paths.check_length(tmp_path / ("x" * 107))
