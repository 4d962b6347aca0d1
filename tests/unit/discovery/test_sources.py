"""From a configuration to its source, and what a source loads when."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import reviver
from reviver.config import load_mapping
from reviver.control.wishes import needed
from tests.support.docker import Docker
from tests.support.origin import Origin, responds
from tests.support.zone import Zone

SCRIPT = """
import asyncio, importlib, json, sys
from contextlib import aclosing
from pathlib import Path
import reviver.control.serve, reviver.discovery
from reviver.config.models.limits import NameServer
from reviver.control.files import signature
from reviver.control.watch import stirrings
from reviver.discovery import Surroundings, source_of
from reviver.control.wishes import needed
from reviver.config import load_mapping

tree, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
loaded = load_mapping(tree)
reviver.control.serve._load_what_comes_later((*reviver.control.serve.LATER, *needed(loaded)))
discover = loaded.config.reverse.pools["api"].discover


async def main():
    before = set(sys.modules)
    around = Surroundings(folder, loaded.config.resolver.servers, stirrings, signature)
    async with aclosing(source_of(discover, "api", around).answers()) as answers:
        async for answer in answers:
            print(type(answer).__name__, *(server.address for server in answer.servers))
            break
    for name in sorted(set(sys.modules) - before):
        print("late:", name)

asyncio.run(main())
"""


@contextmanager
def peer(kind: str, folder: Path) -> Iterator[tuple[dict[str, object], dict[str, object]]]:
    """The table of a source that answers, and that of the resolver."""
    if kind in ("dns", "srv"):
        with Zone() as zone:
            zone.set("app.internal", "CNAME", "web.internal.")
            zone.set("web.internal", "A", *(f"10.0.0.{number}" for number in range(1, 60)))
            zone.set("_http._tcp.app.internal", "SRV", "0 0 80 10.0.0.1.nip.internal.")
            yield {kind: "app.internal:80" if kind == "dns" else "_http._tcp.app.internal"}, zone.config
    elif kind == "docker":
        with Docker(folder / "d.sock") as daemon:
            daemon.run("one", "10.0.0.1:80")
            yield {"docker": {"socket": "d.sock"}}, {}
    elif kind == "http":
        with Origin("registry", responds(200, b'["10.0.0.1:80"]')) as origin:
            yield {"http": f"http://{origin.address}/"}, {}
    else:
        (folder / "servers.yaml").write_text("[10.0.0.1:80]")
        yield {"file": "servers.yaml"}, {}


@pytest.mark.parametrize("kind", ["dns", "srv", "file", "http", "docker"])
def test_a_source_is_made_and_loads_nothing_late(kind: str, tmp_path: Path) -> None:
    """Who gives up root may not be able to read the folders of Python afterwards."""
    with peer(kind, tmp_path) as (discover, resolver):
        tree = _tree(discover, resolver)
        search = os.pathsep.join([str(Path(reviver.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, json.dumps(tree), str(tmp_path)],
            env={**os.environ, "PYTHONPATH": search},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    found, *late = done.stdout.splitlines()
    assert found.startswith("Found 10.0.0.1")
    assert late == []


def test_nothing_is_loaded_where_no_pool_asks_for_it() -> None:
    assert needed(load_mapping(_tree(None, {}))) == []


def _tree(discover: dict[str, object] | None, resolver: dict[str, object]) -> dict[str, object]:
    pool = {"servers": ["127.0.0.1:1"]} if discover is None else {"discover": discover}
    return {
        "listeners": {"web": {"bind": "127.0.0.1:8080", "role": "reverse"}},
        "resolver": resolver,
        "reverse": {"routes": [{"pool": "api"}], "pools": {"api": pool}},
    }
