"""`reviver reverse`, `reviver forward` and `reviver demo`: no file needed."""

import contextlib
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import absolute, connect, fetch
from tests.support.origin import Origin
from tests.support.proxy import REVIVER, assert_no_internals, cli, environment, free_port, listens
from tests.support.wait import until


@contextlib.contextmanager
def running(*arguments: object, port: int | None = None) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """Runs a command that stays up, until the end of the block; checks a clean end by Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="rv-") as folder:
        out = Path(folder) / "out.txt"
        with out.open("wb") as stream:
            process = subprocess.Popen(
                [str(REVIVER), *map(str, arguments)],
                cwd=folder,
                env=environment({"XDG_RUNTIME_DIR": folder}),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
            try:
                if port is not None:

                    def up() -> bool:
                        assert process.poll() is None, out.read_text()
                        return listens(port)

                    until(up, f"port {port}", 30)
                yield process, out
                process.send_signal(signal.SIGINT)
                assert process.wait(30) == 0, out.read_text()
                assert_no_internals(out.read_text())
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()


def test_reverse() -> None:
    port = free_port()
    with (
        Origin("a") as a,
        Origin("b") as b,
        running("reverse", "--listen", f"127.0.0.1:{port}", a.address, b.address, port=port) as (_, out),
    ):
        assert {fetch(port, "/x").text for _ in range(4)} == {"a GET /x", "b GET /x"}
        until(lambda: '"/x"' in out.read_text(), "a record on stdout")


def test_reverse_on_all_addresses_by_a_bare_port() -> None:
    port = free_port()
    with Origin() as origin, running("reverse", "--listen", f":{port}", origin.address, port=port):
        assert fetch(port, "/x").status == 200


def test_forward() -> None:
    port = free_port()
    with Origin() as origin, running("forward", "--listen", f"127.0.0.1:{port}", port=port):
        assert absolute(port, f"http://{origin.address}/f").text == "origin GET /f"
        client, response = connect(port, "127.0.0.1:25")
        client.close()
        assert response.status == 403


def test_forward_with_anonymity_and_users() -> None:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, Origin() as origin:
        users = Path(folder) / "users"
        users.write_text("ann:{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=\n")
        arguments = ("--anonymity", "high", "--auth", users)
        with running("forward", "--listen", f"127.0.0.1:{port}", *arguments, port=port):
            assert absolute(port, f"http://{origin.address}/a").status == 407
            authorization = ("Proxy-Authorization", "Basic YW5uOm9wZW4gc2VzYW1l")
            assert absolute(port, f"http://{origin.address}/a", [authorization]).status == 200
            assert "Via" not in origin.only("/a").fields


def test_demo_once() -> None:
    done = cli("demo", "--once", seconds=120)
    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("reverse", "forward", "CONNECT", "SOCKS5", "ok"):
        assert word in done.stdout
    assert "FAILED" not in done.stdout
    assert_no_internals(done.stdout + done.stderr)


def test_demo_stays_up_and_its_lines_work() -> None:
    with running("demo", "--port-base", free_port()) as (process, out):

        def shown() -> list[str]:
            assert process.poll() is None, out.read_text()
            text = out.read_text()
            return re.findall(r"^\s*(curl .*)$", text, re.MULTILINE) if "Ctrl-C" in text else []

        lines = until(shown, "the lines to try", 60)
        assert len(lines) >= 6
        for line in lines:
            done = subprocess.run(
                ["bash", "-c", line + " -sS --max-time 15"],
                env=environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, line + done.stderr
            assert re.search(r"^HTTP/1\.1 (200|308)", done.stdout, re.MULTILINE), line + done.stdout


@pytest.mark.parametrize("command", ["reverse", "forward"])
def test_a_port_in_use_is_one_line(command: str) -> None:
    with Origin() as squatter:
        targets = [squatter.address] if command == "reverse" else []
        done = cli(command, "--listen", squatter.address, *targets)
    assert done.returncode == 1
    assert squatter.address in done.stderr
    assert "Traceback" not in done.stderr
