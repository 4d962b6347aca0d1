import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from benches.processes import Managed, StartError, family, lives

CORE = min(os.sched_getaffinity(0))

# a parent whose child has left its session, as daemons do; the child listens once both are up
SCRIPT = """
import os, socket, sys, time
if os.fork() == 0:
    os.setsid()
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    while True:
        sum(range(10000))
time.sleep(600)
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_children_are_counted_and_ended_even_when_they_left_the_group(tmp_path: Path) -> None:
    port = free_port()
    with Managed([sys.executable, "-c", SCRIPT, str(port)], core=CORE, log=tmp_path / "log", ports=[port]) as process:
        pids = family(process.pid)
        assert len(pids) == 2
        assert {os.sched_getaffinity(pid) == {CORE} for pid in pids} == {True}
        before = process.cpu_ns()
        while process.cpu_ns() - before < 20_000_000:
            pass
        assert process.pss_kib() > 1000
    assert [pid for pid, started in pids.items() if lives(pid, started)] == []
    with socket.create_server(("127.0.0.1", port)) as again:
        assert again.getsockname()[1] == port


def test_a_program_that_ends_at_once_is_named_with_its_last_words(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import sys; sys.exit('no such directive')"]
    with (
        pytest.raises(StartError, match="did not start: no such directive"),
        Managed(argv, core=CORE, log=tmp_path / "log", ports=[free_port()]),
    ):
        pytest.fail("it cannot be ready")


def test_a_port_that_is_taken_is_an_error_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        managed = Managed(["/nonexistent"], core=CORE, log=tmp_path / "log", ports=[port])
        with pytest.raises(StartError, match=f"port {port} on loopback is taken"), managed:
            pytest.fail("it cannot have started")


def test_the_harness_refuses_unknown_peers_and_scenarios() -> None:
    command = [sys.executable, "-m", "benches", "--scenario", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "reverse-1k" in done.stderr
