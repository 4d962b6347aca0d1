"""The borders of the architecture: who may know whom."""

import ast
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python" / "reviver"

LAYERS = {
    "reviver-http": 0,
    "reviver-policy": 1,
    "reviver-balance": 1,
    "reviver-cache": 1,
    "reviver-store": 1,
    "reviver-plan": 2,
    "reviver-flow": 3,
    "reviver-engine": 4,
    "reviver-python": 5,
}
"""An arrow points from a layer to a lower one."""
PURE = [name for name, layer in LAYERS.items() if layer <= 3 and name != "reviver-store"]
IMPURE_DEPENDENCIES = {"tokio", "mio", "socket2", "libc", "nix", "pyo3", "mimalloc", "rand", "getrandom"}
IMPURE_CODE = {
    r"\btokio\b": "an async runtime",
    r"\b(TcpStream|TcpListener|UdpSocket|UnixStream|UnixListener|UnixDatagram)\b": "a socket",
    r"\b(SystemTime|Instant)::now\b": "a clock; `now` is an argument",
    r"\bstd::(fs|env|thread|process)\b": "the operating system",
}


@pytest.fixture(scope="module")
def packages() -> dict[str, Any]:
    done = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--no-deps", "--quiet"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return {package["name"]: package for package in json.loads(done.stdout)["packages"]}


def _dependencies(package: dict[str, Any], *, also_dev: bool = False) -> set[str]:
    return {item["name"] for item in package["dependencies"] if also_dev or item["kind"] != "dev"}


def test_crates_depend_only_on_lower_layers(packages: dict[str, Any]) -> None:
    assert "reviver-engine" in packages
    for name, package in packages.items():
        if name not in LAYERS:
            continue
        for other in _dependencies(package) & packages.keys():
            assert other in LAYERS, f"{name} depends on {other}, which is for tests"
            assert LAYERS[other] < LAYERS[name], f"{name} -> {other} points upwards or sideways"


def test_every_crate_has_a_layer(packages: dict[str, Any]) -> None:
    assert packages.keys() - LAYERS.keys() <= {"reviver-testkit"}


def test_only_reviver_python_knows_python(packages: dict[str, Any]) -> None:
    knowing = {name for name, package in packages.items() if "pyo3" in _dependencies(package, also_dev=True)}
    assert knowing == {"reviver-python"}


@pytest.mark.parametrize("name", PURE)
def test_pure_crates_depend_on_nothing_that_does_io(packages: dict[str, Any], name: str) -> None:
    if name not in packages:
        pytest.skip(f"{name} is not there yet")
    assert not _dependencies(packages[name]) & IMPURE_DEPENDENCIES


@pytest.mark.parametrize("name", PURE)
def test_pure_crates_touch_no_clock_and_no_socket(packages: dict[str, Any], name: str) -> None:
    if name not in packages:
        pytest.skip(f"{name} is not there yet")
    sources = list((ROOT / "crates" / name / "src").rglob("*.rs"))
    assert sources
    for path in sources:
        if path.name in ("tests.rs",) or "tests" in path.parts:
            continue
        code = _without_comments(path.read_text().split("#[cfg(test)]\nmod ")[0])
        for pattern, what in IMPURE_CODE.items():
            found = re.search(pattern, code)
            assert found is None, f"{path.relative_to(ROOT)} uses {found and found[0]}: {what}"


def _without_comments(code: str) -> str:
    return re.sub(r"//[^\n]*", "", code)


def test_only_control_and_hooks_import_the_engine() -> None:
    sources = list(PACKAGE.rglob("*.py"))
    assert len(sources) > 20
    importing = {path.relative_to(PACKAGE) for path in sources if _imports_engine(path)}
    assert importing == {Path("control/engine.py")}


def _imports_engine(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
        elif isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        else:
            continue
        if any(name.split(".")[-1] == "_engine" or "._engine." in name for name in names):
            return True
    return False


def test_lower_packages_do_not_import_higher_ones() -> None:
    """errors <- config <- compile <- certificates <- discovery <- control <- cli."""
    order = ["errors", "config", "compile", "certificates", "discovery", "control", "cli"]
    for rank, name in enumerate(order):
        above = order[rank + 1 :]
        paths = list((PACKAGE / name).rglob("*.py")) if (PACKAGE / name).is_dir() else [PACKAGE / f"{name}.py"]
        assert paths
        for path in paths:
            for found in re.findall(r"^\s*(?:from|import) reviver\.(\w+)", path.read_text(), re.MULTILINE):
                assert found not in above, f"{path.relative_to(ROOT)} imports reviver.{found}"
