"""Configurations that a command line stands for."""

from pathlib import Path
from typing import Any

import pytest

from reviver.cli import forward, main, reverse
from reviver.config import load_mapping
from reviver.errors import ConfigurationError


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("127.0.0.1:9001", "127.0.0.1:9001"),
        ("app.internal:80", "app.internal:80"),
        ("http://app.internal", "app.internal:80"),
        ("HTTP://app.internal:8000/", "app.internal:8000"),
        ("http://[::1]:9000", "[::1]:9000"),
        ("http://[::1]", "[::1]:80"),
        ("9001", "127.0.0.1:9001"),
        (":9001", "127.0.0.1:9001"),
    ],
)
def test_targets_are_servers(target: str, address: str) -> None:
    tree = reverse.configuration(":8080", (target,))
    assert tree["reverse"]["pools"]["targets"]["servers"] == [address]
    load_mapping(tree)


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("https://app.internal", "app.internal:443"),
        ("HTTPS://app.internal:8443/", "app.internal:8443"),
        ("https://[::1]", "[::1]:443"),
    ],
)
def test_targets_by_https_are_servers_that_speak_tls(target: str, address: str) -> None:
    config = load_mapping(reverse.configuration(":8080", (target, "https://other.internal"))).config
    assert config.reverse is not None
    pool = config.reverse.pools["targets"]
    assert pool.tls is not None and not pool.tls.insecure
    assert [server.address for server in pool.servers] == [address, "other.internal:443"]


@pytest.mark.parametrize("other", ["http://b.internal", "b.internal:80", "9001"])
def test_targets_by_http_and_https_are_not_mixed(other: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["reverse", other, "https://a.internal"]) == 2
    assert f"https://a.internal is https and {other} is http" in capsys.readouterr().err


@pytest.mark.parametrize(
    "target", ["ftp://app.internal", "https://app.internal/path", "app.internal", "a b:80", "x:99999"]
)
def test_targets_that_cannot_be_are_refused_by_the_configurations_own_checks(target: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load_mapping(reverse.configuration(":8080", (target,)))
    assert str(raised.value.diagnostics[0]).startswith("command line: reverse.pools.targets.servers")


def test_a_forward_proxy_for_this_machine_needs_nothing() -> None:
    tree: dict[str, Any] = forward.configuration("127.0.0.1:3128", "anonymous", None, ())
    assert load_mapping(tree).config.forward is not None
    assert "clients" not in tree["forward"]


def test_a_forward_proxy_for_others_needs_to_know_whom() -> None:
    with pytest.raises(ConfigurationError):
        load_mapping(forward.configuration("0.0.0.0:3128", "anonymous", None, ()))
    load_mapping(forward.configuration("0.0.0.0:3128", "high", None, ("10.0.0.0/8", "192.168.0.0/16")))


def test_the_users_file_is_found_from_anywhere() -> None:
    tree = forward.configuration("127.0.0.1:3128", "anonymous", Path("users"), ())
    assert tree["forward"]["auth"] == {"basic": str(Path.cwd() / "users")}


def test_either_may_cache() -> None:
    config = load_mapping(forward.configuration("127.0.0.1:3128", "anonymous", None, (), True)).config
    assert config.forward is not None and config.forward.cache
    config = load_mapping(reverse.configuration(":8080", ("9001",), True)).config
    assert config.reverse is not None and config.reverse.routes[0].cache


def test_neither_caches_without_being_told() -> None:
    assert "cache" not in forward.configuration("127.0.0.1:3128", "anonymous", None, ())["forward"]
    assert "cache" not in reverse.configuration(":8080", ("9001",))["reverse"]["routes"][0]
