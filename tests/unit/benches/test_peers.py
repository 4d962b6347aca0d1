import json
from pathlib import Path

import pytest

from benches.peers import PEERS, Mode, Origin, Peer
from benches.toolbox import Toolbox
from reviver.config import load_file

ORIGIN = Origin(http=18100, bulk=18101, echo=18102, h2=18103, cacheable=18104)


@pytest.fixture
def toolbox(tmp_path: Path) -> Toolbox:
    return Toolbox(tmp_path, {peer.program: tmp_path / peer.program for peer in PEERS})


@pytest.mark.parametrize("kind", PEERS, ids=lambda kind: kind.name)
def test_a_peer_has_a_port_of_its_ten_for_each_direction_and_knows_the_origin(
    kind: type[Peer], toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    launch = kind(toolbox).prepare(tmp_path, 18110, ORIGIN)
    assert set(launch.ports) == kind.modes
    assert set(launch.ports.values()) <= set(range(18110, 18120))
    written = "".join(path.read_text() for path in tmp_path.iterdir()) + " ".join(map(str, launch.argv))
    assert "18110" in written
    assert "$folder" not in written
    if Mode.REVERSE in kind.modes:
        assert "18100" in written
    if Mode.TLS in kind.modes:
        assert str(toolbox.certificate) in written
    assert ("18103" in written) == (Mode.H2 in kind.modes)


def test_reviver_reads_its_configuration(toolbox: Toolbox, tmp_path: Path) -> None:
    kind = next(kind for kind in PEERS if kind.name == "Reviver")
    kind(toolbox).prepare(tmp_path, 18110, ORIGIN)
    loaded = load_file(tmp_path / "reviver.yaml")
    assert loaded.config.workers == 1
    assert set(loaded.config.listeners) == {"web", "office", "tls"}
    assert loaded.config.reverse is not None
    assert loaded.config.reverse.pools["origin-h2"].protocol == "h2"
    assert len(loaded.config.logs or []) == 1


def test_envoys_configuration_is_json(toolbox: Toolbox, tmp_path: Path) -> None:
    kind = next(kind for kind in PEERS if kind.name == "Envoy")
    kind(toolbox).prepare(tmp_path, 18110, ORIGIN)
    resources = json.loads((tmp_path / "envoy.json").read_text())["static_resources"]
    assert [listener["name"] for listener in resources["listeners"]] == ["reverse", "forward", "tls", "h2"]


def test_a_version_is_told_without_the_path_of_the_program(tmp_path: Path) -> None:
    program = tmp_path / "python3.11" / "envoy"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$0  version: 9e55809/1.40.0/Clean/RELEASE"\n')
    program.chmod(0o755)
    kind = next(kind for kind in PEERS if kind.name == "Envoy")
    assert kind(Toolbox(tmp_path, {"envoy": program})).version() == "1.40.0"
