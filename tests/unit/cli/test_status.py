"""How `reviver status` tells what the proxy says of itself."""

from typing import Any

import pytest

from reviver.cli import output, status

GROUP: dict[str, Any] = {
    "requests": 12,
    "status": {"2xx": 10, "4xx": 2},
    "failures": {"no_route": 2},
    "bytes_in": 700,
    "bytes_out": 3 * 1024 * 1024,
    "latency_ms": {"count": 12, "p50": 0.25, "p99": 3.5},
}
ANSWER: dict[str, Any] = {
    "version": "0.1.0",
    "pid": 42,
    "configuration": "r.yaml",
    "user": "nobody:nogroup",
    "last_reload": {"at": "2026-01-01T00:00:00.000+00:00", "ok": False},
    "control": "/run/reviver/x.sock",
    "draining": False,
    "epoch": 2,
    "retiring": [1],
    "uptime_seconds": 93784.2,
    "workers": 1,
    "panics": 0,
    "listeners": [
        {
            "name": "web",
            "role": "reverse",
            "bind": ["0.0.0.0:80", "[::]:80"],
            "connections": 3,
            "tls": True,
            "http2": True,
        }
    ],
    "routes": ["all", "new"],
    "pools": [{"name": "a", "servers": ["10.0.0.1:80"]}],
    "metrics": {
        "total": GROUP,
        "listeners": {"web": GROUP},
        "routes": {"all": GROUP},
        "servers": {"a/10.0.0.1:80": GROUP},
    },
    "logs": [{"to": "file:a.log", "format": "json", "written": 12, "dropped": 0, "failing": "no space left"}],
}


def _lines(answer: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> list[str]:
    status._show(answer)
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_what_runs_and_since_when(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _lines(ANSWER, capsys)
    assert lines[0] == "reviver 0.1.0 serves r.yaml, process 42"
    assert lines[1] == "up 1 d 2 h, epoch 2, 1 worker, as nobody:nogroup"
    assert "flows still keep to epoch 1" in lines
    assert "the reload at 2026-01-01T00:00:00.000+00:00 failed; the earlier configuration goes on" in lines


def test_listeners_routes_and_servers_with_their_counts(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _lines(ANSWER, capsys)
    assert "web reverse 0.0.0.0:80 [::]:80 TLS, HTTP/2 3 12 10 2 0.25 3.50 700 B 3.0 MiB" in lines
    assert "all 12 10 2 0.25 3.50 700 B 3.0 MiB" in lines
    assert "new" in lines
    assert "a/10.0.0.1:80 12 10 2 0.25 3.50 700 B 3.0 MiB" in lines
    assert "no_route 2" in lines
    assert "file:a.log json 12 0 no space left" in lines


@pytest.mark.parametrize(
    ("keys", "cell"),
    [({"tls": True, "http2": False}, "TLS "), ({"tls": False, "http2": True}, "HTTP/2 "), ({}, "")],
)
def test_what_a_listener_speaks(keys: dict[str, bool], cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A proxy of an earlier version does not tell."""
    listener = {"name": "web", "role": "reverse", "bind": [":80"], "connections": 3, **keys}
    lines = _lines({**ANSWER, "listeners": [listener]}, capsys)
    assert f"web reverse :80 {cell}3 12 10 2 0.25 3.50 700 B 3.0 MiB" in lines


def test_a_cache_has_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert not any(line.startswith("cache") for line in _lines(ANSWER, capsys))
    memory = {"objects": 1, "bytes": 64 * 2**20, "limit": 256 * 2**20}
    cache: dict[str, Any] = {"memory": memory, "disk": None, "hit_ratio": None}
    line = "cache: 1 object in memory (64.0 MiB of 256.0 MiB), hit ratio -"
    assert line in _lines({**ANSWER, "cache": cache}, capsys)
    disk = {"objects": 20, "bytes": 2**30, "limit": 2**32, "state": "ok"}
    line = (
        "cache: 1 object in memory (64.0 MiB of 256.0 MiB), 20 objects on disk (1.0 GiB of 4.0 GiB), hit ratio 87.5 %"
    )
    assert line in _lines({**ANSWER, "cache": {**cache, "disk": disk, "hit_ratio": 0.875}}, capsys)


def test_servers_have_their_state_and_splits_their_weights(capsys: pytest.CaptureFixture[str]) -> None:
    more = {"servers": {"a": {"10.0.0.1:80": "down"}}, "splits": {"shop": {"canary": 25, "stable": 9975}}}
    lines = _lines({**ANSWER, **more}, capsys)
    assert "a/10.0.0.1:80 down 12 10 2 0.25 3.50 700 B 3.0 MiB" in lines
    assert lines[lines.index("split weights") + 1] == "shop canary 0.25 %, stable 99.75 %"


def test_a_proxy_that_ends_is_said_to_drain(capsys: pytest.CaptureFixture[str]) -> None:
    assert _lines({**ANSWER, "draining": True}, capsys)[0] == "reviver 0.1.0 is draining r.yaml, process 42"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (61, "1 m 1 s"), (3600, "1 h"), (-75, "-1 m 15 s"), (-0.5, "0 s"), (90061, "1 d 1 h")],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert output.duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**50, "1024.0 TiB")])
def test_sizes_have_a_fitting_unit(count: int, text: str) -> None:
    assert output.size(count) == text
