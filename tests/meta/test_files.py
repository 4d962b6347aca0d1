"""What holds for every file of the repository."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 600
LONGER: dict[str, str] = {"python/reviver/compile/plan.py": "generated: one type for each of the plan's"}
"""Files that may be longer, each with its reason. Never more than three."""


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a checkout")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_files_stay_short(tracked: list[Path]) -> None:
    assert len(LONGER) <= 3
    sources = [path for path in tracked if path.suffix in (".rs", ".py")]
    assert len(sources) > 40
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources}
    too_long = {name: count for name, count in lengths.items() if count > LONGEST and name not in LONGER}
    assert too_long == {}


def test_no_file_knows_the_machine_it_was_written_on(tracked: list[Path]) -> None:
    machine = re.compile(rb"(?<![\w./-])/(?:wor[k]|roo[t]|home/\w+|Users/\w+)/")
    for path in tracked:
        found = machine.search(path.read_bytes())
        assert found is None, f"{path.relative_to(ROOT)} holds {found and found[0]!r}"


def test_unfinished_work_is_not_marked_in_the_source(tracked: list[Path]) -> None:
    marks = re.compile(r"\b(TOD[O]|FIXM[E]|XX[X])\b")
    for path in tracked:
        if path.suffix in (".rs", ".py", ".pyi", ".sh", ".toml"):
            found = marks.search(path.read_text())
            assert found is None, f"{path.relative_to(ROOT)} holds {found and found[0]}"


def test_the_version_is_the_same_everywhere() -> None:
    import reviver

    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert reviver.__version__ == cargo["version"] == project["version"]
    assert project["license"] == cargo["license"]


def test_generated_files_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "generate.py"), "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_shell_script_stops_at_errors(tracked: list[Path]) -> None:
    scripts = [path for path in tracked if path.read_bytes().startswith(b"#!/usr/bin/env bash")]
    assert scripts
    for path in scripts:
        assert re.search(r"^set -e?uo pipefail$", path.read_text(), re.MULTILINE), path
