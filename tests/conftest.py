"""What every test of the whole program shares."""

import os
import socket

import pytest


@pytest.fixture(scope="session")
def ipv6() -> None:
    """Skips where the machine has no IPv6 loopback."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 loopback here")


@pytest.fixture(autouse=True)
def _without_proxy_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client library of a test goes through a proxy of the machine by itself."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
