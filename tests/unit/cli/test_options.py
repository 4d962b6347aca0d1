"""Finding the configuration and the proxy that is meant."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reviver.cli import options
from reviver.control import paths
from reviver.errors import ConfigurationError, OperationError

GOOD = """
listeners: {web: {bind: "127.0.0.1:8080", role: reverse}}
reverse: {routes: [{name: all, match: {path: "/*"}, respond: {status: 204}}]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder; default sockets go to a folder of their own."""
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setattr(paths, "folders", lambda *_, **__: [runtime / "reviver"])
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@contextmanager
def proxy_socket(identity: str) -> Iterator[Path]:
    path = paths.choose(identity)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield path
        path.unlink()


def test_the_folders_own_configuration_is_the_default(folder: Path) -> None:
    with pytest.raises(ConfigurationError):
        options.configuration(None)
    (folder / "reviver.yaml").write_text(GOOD)
    assert options.configuration(None) == Path("reviver.yaml")
    assert options.configuration(Path("other.yaml")) == Path("other.yaml")


def test_workers_of_the_command_line_win(folder: Path) -> None:
    (folder / "reviver.yaml").write_text("workers: 3\n" + GOOD)
    assert options.load(Path("reviver.yaml")).config.workers == 3
    assert options.load(Path("reviver.yaml"), workers=7).config.workers == 7


def test_a_socket_that_is_named_is_taken(folder: Path) -> None:
    assert options.find_socket(None, Path("x.sock")) == Path("x.sock")


def test_the_configuration_leads_to_its_proxy(folder: Path) -> None:
    file = folder / "reviver.yaml"
    file.write_text(GOOD)
    with pytest.raises(OperationError, match=r"no proxy is running with reviver\.yaml"):
        options.find_socket(None, None)
    with proxy_socket(str(file)) as path, proxy_socket("another"):
        assert options.find_socket(None, None) == path
        assert options.find_socket(Path("../work/reviver.yaml"), None) == path


def test_a_configured_socket_is_relative_to_the_configuration(folder: Path) -> None:
    file = folder / "site.yaml"
    file.write_text(GOOD + "control: {socket: run/c.sock}\n")
    assert options.find_socket(file, None) == folder / "run" / "c.sock"


def test_a_configuration_that_broke_meanwhile_still_leads_to_its_proxy(folder: Path) -> None:
    file = folder / "reviver.yaml"
    file.write_text("listeners: [")
    with pytest.raises(OperationError, match=r"no proxy is running with reviver\.yaml"):
        options.find_socket(None, None)
    with proxy_socket(str(file)) as path:
        assert options.find_socket(None, None) == path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "listeners: {web: {bind: x, rolle: y}}\ncontrol: {socket: run/c.sock}\n"),
        ("a.yaml", "# control: {socket: no.sock}\ncontrol:\n  socket: run/c.sock  # here\nlisteners: [\n"),
        ("a.yaml", "listeners: {\ncontrol: {socket: '${FOLDER:-run}/c.sock'}\n"),
        ("a.json", '{"workers": 1,, "control": {"socket": "run/c.sock"}}'),
        ("a.toml", "workers = \n[control]\nsocket = 'run/c.sock'\n"),
        ("a.toml", 'workers = \ncontrol.socket = "run/c.sock"\n'),
    ],
)
def test_a_configured_socket_is_found_in_a_file_with_errors(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    assert options.find_socket(Path(name), None) == folder / "run" / "c.sock"


def test_a_socket_that_a_dead_proxy_left_behind_does_not_count(folder: Path) -> None:
    (folder / "site.yaml").write_text("control: {socket: c.sock}")
    for identity in (str(folder / "site.yaml"), "forward :3128"):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(paths.choose(identity)))
    assert options.find_socket(Path("site.yaml"), None) == folder / "c.sock"
    with pytest.raises(OperationError, match="no running proxy"):
        options.find_socket(None, None)
    with proxy_socket("reverse :8080") as living:
        assert options.find_socket(None, None) == living


def test_without_a_configuration_the_only_proxy_is_meant(folder: Path) -> None:
    with pytest.raises(OperationError, match="no configuration here and no running proxy"):
        options.find_socket(None, None)
    with proxy_socket("reverse :8080") as first:
        assert options.find_socket(None, None) == first
        with proxy_socket("forward :3128") as second, pytest.raises(OperationError) as raised:
            options.find_socket(None, None)
        assert str(first) in str(raised.value)
        assert str(second) in str(raised.value)


def test_a_configuration_that_is_named_has_to_be_there(folder: Path) -> None:
    with proxy_socket("another"), pytest.raises(ConfigurationError):
        options.find_socket(Path("missing.yaml"), None)
