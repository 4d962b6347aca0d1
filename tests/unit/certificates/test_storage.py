"""The folder of certificates: private, whole at every moment, used by one at a time."""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from reviver.certificates.storage import Storage, default_folder
from reviver.errors import OperationError


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _never(_: float) -> None:
    raise AssertionError("the lock was free")


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_nobody_else_can_read_anything(tmp_path: Path, umask: int) -> None:
    storage = Storage(tmp_path / "state" / "certificates")
    before = os.umask(umask)
    try:
        storage.prepare()
        storage.write("automatic/a.pem", "secret")
        with storage.lock("accounts/a", _never):
            pass
    finally:
        os.umask(before)
    assert _mode(storage.folder) == 0o700
    assert _mode(storage.folder / "automatic") == _mode(storage.folder / "accounts") == 0o700
    assert _mode(storage.folder / "automatic" / "a.pem") == 0o600
    assert _mode(storage.folder / "accounts" / "a.lock") == 0o600


def test_a_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / "automatic").mkdir(mode=0o755)
    Storage(tmp_path).write("automatic/a.pem", "secret")
    assert _mode(tmp_path / "automatic") == 0o700


def test_what_others_can_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(OperationError, match=r"can be written to by others; chmod go-w"):
        Storage(tmp_path).prepare()


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "certificates").write_text("")
    with pytest.raises(OperationError, match=f"storage {tmp_path}/certificates: "):
        Storage(tmp_path / "certificates").prepare()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    assert storage.read("automatic/a.pem") is None
    storage.write("automatic/a.pem", "one")
    storage.write("automatic/a.pem", "two")
    assert storage.read("automatic/a.pem") == "two"
    assert storage.names("automatic", ".pem") == ["automatic/a.pem"]
    storage.remove("automatic/a.pem")
    storage.remove("automatic/a.pem")
    assert storage.read("automatic/a.pem") is None
    assert storage.names("nowhere", ".pem") == []


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(tmp_path)
    storage.write("automatic/a.pem", "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OperationError, match=r"automatic/a\.pem: No space left on device"):
        storage.write("automatic/a.pem", "new")
    assert storage.read("automatic/a.pem") == "old"
    assert [path.name for path in (tmp_path / "automatic").iterdir()] == ["a.pem"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    texts = ["a" * 100_000, "b" * 100_000]
    storage.write("a", texts[0])
    done = threading.Event()

    def writing() -> None:
        for count in range(50):
            storage.write("a", texts[count % 2])
        done.set()

    thread = threading.Thread(target=writing)
    thread.start()
    while not done.is_set():
        assert storage.read("a") in texts
    thread.join()


def test_a_table_that_cannot_be_read_is_empty(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    assert storage.read_table("a.json") == {}
    for text in ("", "{", "[1]", "\x00"):
        storage.write("a.json", text)
        assert storage.read_table("a.json") == {}
    storage.write_table("a.json", {"uri": "x"})
    assert storage.read_table("a.json") == {"uri": "x"}


HOLDER = """
import sys
from pathlib import Path
from reviver.certificates.storage import Storage
with Storage(Path(sys.argv[1])).lock("a", print):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_another_process_waits_for_the_lock_and_gets_it_when_the_holder_dies(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        waits = []

        def pause(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                holder.kill()
                holder.wait()

        with Storage(tmp_path).lock("b", _never), Storage(tmp_path).lock("a", pause):
            pass
        assert len(waits) == 3


def test_waiting_for_a_lock_can_be_given_up(tmp_path: Path) -> None:
    def give_up(_: float) -> None:
        raise TimeoutError

    with (
        Storage(tmp_path).lock("a", _never),
        pytest.raises(TimeoutError),
        Storage(tmp_path).lock("a", give_up),
    ):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_that_belongs_to_somebody_else_is_told(tmp_path: Path, as_nobody: Callable[[], None]) -> None:
    storage = Storage(tmp_path / "certificates")
    storage.prepare()
    storage.write("automatic/a.pem", "secret")
    as_nobody()
    with pytest.raises(OperationError, match="cannot be written to"):
        storage.prepare()
    with pytest.raises(OperationError, match="Permission denied"):
        storage.read("automatic/a.pem")


@pytest.mark.parametrize(
    ("environ", "uid", "folder"),
    [
        ({}, 0, "/var/lib/reviver/certificates"),
        ({"HOME": "/people/ann"}, 1000, "/people/ann/.local/state/reviver/certificates"),
        ({"HOME": "/people/ann", "XDG_STATE_HOME": "/state"}, 1000, "/state/reviver/certificates"),
        ({"STATE_DIRECTORY": "/var/lib/private/reviver:/x"}, 61000, "/var/lib/private/reviver/certificates"),
    ],
)
def test_the_default_is_the_state_folder(environ: dict[str, str], uid: int, folder: str) -> None:
    assert default_folder(environ, uid=uid) == Path(folder)
