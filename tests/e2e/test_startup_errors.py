"""What cannot be had at the start: one line that names it, an exit code, no traceback."""

import os
import pwd
import socket
import subprocess
from typing import Any

import pytest

from tests.support.client import fetch
from tests.support.proxy import REVIVER, Config, Proxy, environment, forward, reverse


def refused(config: Config, *, code: int, words: list[str], files: dict[str, str] | None = None) -> str:
    """Starts a proxy that must not start; what it said."""
    proxy = Proxy(config, files=files, wait=False)
    try:
        assert proxy.wait(30) == code, proxy.stderr
        said = proxy.stderr
        for word in words:
            assert word in said, said
        assert "Traceback" not in said
        assert "panicked" not in said
        errors = [line for line in said.splitlines() if any(word in line for word in words)]
        assert len(errors) == 1, f"one line: {said}"
        return errors[0]
    finally:
        proxy.kill()


ANSWER: list[dict[str, Any]] = [{"name": "all", "respond": {"body": "x"}}]


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        config = reverse(routes=ANSWER)
        config["listeners"]["web"]["bind"] = f"127.0.0.1:{port}"
        refused(config, code=1, words=[f"127.0.0.1:{port}"])


def test_a_port_in_use_by_another_reviver() -> None:
    """SO_REUSEPORT among the workers must not let two programs share a port unnoticed."""
    with Proxy(reverse(routes=ANSWER)) as first:
        config = {**reverse(routes=ANSWER), "listeners": first.config["listeners"]}
        refused(config, code=1, words=[f"127.0.0.1:{first.port}"])
        assert fetch(first.port).status == 200


def test_an_address_that_is_not_ours() -> None:
    config = reverse(routes=ANSWER)
    config["listeners"]["web"]["bind"] = "192.0.2.1:8080"
    refused(config, code=1, words=["192.0.2.1:8080"])


def test_a_missing_htpasswd() -> None:
    refused(forward(auth={"basic": "nobody.htpasswd"}), code=2, words=["nobody.htpasswd"])


def test_a_malformed_htpasswd() -> None:
    line = refused(
        forward(auth={"basic": "users"}),
        code=2,
        words=["users:2"],
        files={"users": "ann:{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=\nno colon here\n"},
    )
    assert "W8r" not in line


def test_a_log_in_a_missing_folder() -> None:
    logs = [{"to": "file:nowhere/access.log", "format": "json"}]
    refused(reverse(routes=ANSWER, logs=logs), code=1, words=["nowhere/access.log"])


def test_a_log_that_is_a_folder() -> None:
    refused(reverse(routes=ANSWER, logs=[{"to": "file:.", "format": "json"}]), code=1, words=["director"])


def test_an_unknown_user() -> None:
    refused({**reverse(routes=ANSWER), "user": "no-such-user-here"}, code=1, words=["no-such-user-here"])


def usable_by(uid: int) -> bool:
    try:
        return subprocess.run([str(REVIVER), "--version"], user=uid, capture_output=True, check=False).returncode == 0
    except PermissionError:
        return False


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else first")
def test_a_user_when_not_root() -> None:
    nobody = pwd.getpwnam("nobody")
    if not usable_by(nobody.pw_uid):
        pytest.skip("others cannot run the program where it is installed: `user` without root was NOT tested")
    proxy = Proxy({**reverse(routes=ANSWER), "user": "daemon"}, wait=False, preexec=lambda: os.setuid(nobody.pw_uid))
    try:
        assert proxy.wait(30) in (1, 2)
        assert "root" in proxy.stderr
        assert "Traceback" not in proxy.stderr
    finally:
        proxy.kill()


def test_several_errors_at_once() -> None:
    config = reverse(
        routes=[
            {"name": "a", "match": {"path": "/*"}, "pool": "x"},
            {"name": "a", "match": {"path": "/*"}, "pool": "y"},
        ]
    )
    proxy = Proxy(config, wait=False)
    try:
        assert proxy.wait(30) == 2
        assert len([line for line in proxy.stderr.splitlines() if "reviver.json:" in line]) >= 3, proxy.stderr
    finally:
        proxy.kill()


def test_a_closed_stdin_and_a_minimal_environment() -> None:
    """As under an init system: no HOME, no terminal, no stdin."""
    proxy = Proxy(reverse(routes=ANSWER), env={"HOME": "", "LANG": "C", "TERM": ""})
    with proxy:
        assert fetch(proxy.port).status == 200


def test_a_command_line_that_makes_no_sense() -> None:
    for arguments in (
        ["run", "--nonsense"],
        ["reverse"],
        ["reverse", "--listen", "x:y", "127.0.0.1:1"],
        ["forward", "--anonymity", "utter"],
    ):
        done = subprocess.run(
            [str(REVIVER), *arguments], env=environment(), capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 2, arguments
        assert "Traceback" not in done.stderr


def test_forward_for_everybody_in_one_line_is_refused() -> None:
    done = subprocess.run(
        [str(REVIVER), "forward", "--listen", "0.0.0.0:0"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
