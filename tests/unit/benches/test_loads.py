import subprocess
from pathlib import Path

import pytest

from benches.loads import MeasureError, Requests, Tunnels, parse
from benches.peers import Mode, Origin
from benches.toolbox import Toolbox, which

ORIGIN = Origin(http=18100, bulk=18101, echo=18102, h2=18103, cacheable=18104)

WRK = """Running 1s test @ http://127.0.0.1:18120/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.19ms  281.86us   5.57ms   88.70%
    Req/Sec    53.47k     1.94k   56.13k    70.00%
  53219 requests in 1.00s, 60.20MB read
Requests/sec:  53152.10
Transfer/sec:     60.12MB
{"requests": 53219, "errors": 3, "bytes": 63124271, "seconds": 1.001259, "p50_us": 1150, "p99_us": 2600}
"""


@pytest.fixture
def toolbox(tmp_path: Path) -> Toolbox:
    return Toolbox(tmp_path, {"wrk": Path("/opt/wrk"), "loadgen": Path("/opt/loadgen")})


def test_the_result_of_wrk_is_found_below_what_it_prints_itself() -> None:
    result = parse(WRK)
    assert (result.requests, result.errors, result.bytes) == (53219, 3, 63124271)
    assert result.seconds == pytest.approx(1.001259)
    assert (result.p50_us, result.p99_us) == (1150, 2600)
    assert result.first_error is None


def test_the_first_error_of_loadgen_is_kept() -> None:
    result = parse(
        '{"requests":0,"errors":16,"bytes":0,"seconds":0.1,"p50_us":0,"p99_us":0,'
        '"first_error":"answer HTTP/1.1 404 Not Found"}\n'
    )
    assert result.first_error == "answer HTTP/1.1 404 Not Found"


@pytest.mark.parametrize(
    "output", ["", "unable to connect to 127.0.0.1:1 Connection refused\n", '{"requests": \n', "{}\n"]
)
def test_a_load_without_a_result_is_an_error(output: str) -> None:
    with pytest.raises(MeasureError):
        parse(output)


def test_small_answers_are_asked_for_by_wrk_in_the_form_of_the_direction(toolbox: Toolbox) -> None:
    reverse = Requests(Mode.REVERSE, 1024, 64).command(toolbox, 18110, ORIGIN, 4)
    forward = Requests(Mode.FORWARD, 1024, 64, close=True).command(toolbox, 18111, ORIGIN, 4)
    assert reverse[0] == forward[0] == "/opt/wrk"
    assert {"-c64", "-d4", "http://127.0.0.1:18110/"} <= set(reverse)
    assert reverse[reverse.index("--") :] == ["--", "/1024", "bench.example", "keep"]
    assert forward[forward.index("--") :] == ["--", "http://127.0.0.1:18100/1024", "127.0.0.1:18100", "close"]


def test_large_answers_and_tunnels_come_from_loadgen(toolbox: Toolbox) -> None:
    large = Requests(Mode.REVERSE, 1 << 20, 16).command(toolbox, 18110, ORIGIN, 2.5)
    bulk = Tunnels("bulk", 8).command(toolbox, 18111, ORIGIN, 2)
    pingpong = Tunnels("pingpong", 32).command(toolbox, 18111, ORIGIN, 2)
    assert large[:5] == ["/opt/loadgen", "http", "127.0.0.1:18110", "/1048576", "bench.example"]
    assert large[large.index("--seconds") + 1] == "2.5"
    assert bulk[1:4] == ["bulk", "127.0.0.1:18111", "127.0.0.1:18101"]
    assert pingpong[1:4] == ["pingpong", "127.0.0.1:18111", "127.0.0.1:18102"]


@pytest.mark.skipif(which("wrk") is None, reason="wrk is not installed; `make bench` installs it")
def test_wrk_itself_sends_absolute_form_and_tells_its_result_by_our_script(toolbox: Toolbox) -> None:
    from tests.unit.benches.answering import Answering

    toolbox.programs["wrk"] = which("wrk") or Path()
    with Answering(1024) as server:
        origin = Origin(http=server.port, bulk=0, echo=0, h2=0, cacheable=0)
        command = Requests(Mode.FORWARD, 1024, 2).command(toolbox, server.port, origin, 1)
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    result = parse(done.stdout)
    assert result.requests > 0
    assert result.bytes >= 1024 * result.requests
    assert server.targets == {f"http://127.0.0.1:{server.port}/1024"}
