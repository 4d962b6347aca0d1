import ssl
import subprocess
from pathlib import Path

import pytest

from benches.loads import MeasureError
from benches.peers import Mode, Origin
from benches.secure import Handshakes, Streams, times
from benches.toolbox import Toolbox, which
from tests.support import tls
from tests.unit.benches.answering import Answering

ORIGIN = Origin(http=18100, bulk=18101, echo=18102, h2=18103, cacheable=18104)

H2LOAD = """starting benchmark...
progress: 100% of clients started
TLS Protocol: TLSv1.3
Cipher: TLS_AES_128_GCM_SHA256
Server Temp Key: X25519 253 bits
Application protocol: h2
Stopped all clients for thread #0

finished in 500.83ms, 14376.00 req/s, 14.99MB/s
requests: 7191 total, 7194 started, 7191 done, 7188 succeeded, 3 failed, 0 errored, 0 timeout
status codes: 7188 2xx, 0 3xx, 0 4xx, 3 5xx
traffic: 7.49MB (7856582) total, 358.00KB (366588) headers (space savings 49.50%), 7.02MB (7360512) data
                     min         max         mean         sd        +/- sd
time for request:       81us     58.39ms       390us      2.17ms    98.87%
"""
TIMES = "".join(f"1795517745015{took}\t200\t{took}\n" for took in range(200, 100, -1))


@pytest.fixture
def toolbox(tmp_path: Path) -> Toolbox:
    toolbox = Toolbox(tmp_path, {"h2load": Path("/opt/h2load"), "loadgen": Path("/opt/loadgen")})
    times(toolbox).write_text(TIMES)
    return toolbox


def test_streams_are_asked_for_with_one_choice_of_protocol_suite_and_group(toolbox: Toolbox) -> None:
    two = Streams(Mode.TLS, 1024, 10, 100).command(toolbox, 18112, ORIGIN, 2.5)
    one = Streams(Mode.TLS, 1024, 64).command(toolbox, 18112, ORIGIN, 1)
    assert two[0] == "/opt/h2load"
    assert two[-1] == "https://bench.example/1024"
    assert {"-c10", "-m100", "-D2500ms", "--npn-list=h2", "--connect-to=127.0.0.1:18112"} <= set(two)
    assert {"-c64", "-m1", "--npn-list=http/1.1"} <= set(one)
    assert {"--tls13-ciphers=TLS_AES_128_GCM_SHA256", "--groups=X25519"} <= set(one) & set(two)


def test_http2_to_the_origin_is_asked_for_by_a_host_of_its_own(toolbox: Toolbox) -> None:
    command = Streams(Mode.H2, 1024, 10, 10).command(toolbox, 18113, ORIGIN, 1)
    assert command[-1] == "https://h2.bench.example/1024"


def test_times_of_an_earlier_load_are_forgotten(toolbox: Toolbox) -> None:
    Streams(Mode.TLS, 1024, 64).command(toolbox, 18112, ORIGIN, 1)
    assert not times(toolbox).exists()


def test_the_summary_of_h2load_is_read_and_its_times_make_percentiles(toolbox: Toolbox) -> None:
    result = Streams(Mode.TLS, 1024, 10, 10).read(toolbox, H2LOAD)
    assert (result.requests, result.errors, result.bytes) == (7188, 3, 7856582)
    assert result.seconds == pytest.approx(0.5)
    assert (result.p50_us, result.p99_us) == (151, 200)
    assert result.first_error == "7188 2xx, 0 3xx, 0 4xx, 3 5xx"


def test_an_answer_that_only_points_elsewhere_is_a_failure(toolbox: Toolbox) -> None:
    output = H2LOAD.replace("7188 2xx, 0 3xx, 0 4xx, 3 5xx", "7000 2xx, 188 3xx, 0 4xx, 3 5xx")
    result = Streams(Mode.TLS, 1024, 10, 10).read(toolbox, output)
    assert (result.requests, result.errors) == (7000, 191)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (H2LOAD.replace("TLSv1.3", "TLSv1.2"), "it spoke TLSv1.2 where TLSv1.3 was asked for"),
        (H2LOAD.replace(": h2", ": http/1.1"), "it spoke http/1.1 where h2 was asked for"),
        ("finished in 303.10ms, 0.00 req/s, 0B/s\n", "it spoke nothing"),
        (H2LOAD.partition("finished")[0], "the load gave no result"),
        ("", "it spoke nothing"),
    ],
    ids=["version", "protocol", "no connection", "no summary", "nothing"],
)
def test_what_is_not_the_load_that_was_asked_for_is_an_error(toolbox: Toolbox, output: str, reason: str) -> None:
    with pytest.raises(MeasureError, match=reason):
        Streams(Mode.TLS, 1024, 10, 10).read(toolbox, output)


def test_handshakes_come_from_loadgen_full_or_resumed(toolbox: Toolbox) -> None:
    full = Handshakes(1024, 32).command(toolbox, 18112, ORIGIN, 2.5)
    resumed = Handshakes(1024, 32, resumed=True).command(toolbox, 18112, ORIGIN, 2.5)
    assert full[:6] == ["/opt/loadgen", "handshakes", "127.0.0.1:18112", "/1024", "bench.example", "full"]
    assert full[6:] == ["--connections", "32", "--seconds", "2.5"]
    assert resumed[5] == "resumed"


@pytest.mark.skipif(which("h2load") is None, reason="h2load is not installed; `make bench` installs it")
def test_h2load_itself_asks_the_port_of_loopback_for_the_host_and_is_understood(toolbox: Toolbox) -> None:
    toolbox.programs["h2load"] = which("h2load") or Path()
    load = Streams(Mode.TLS, 1024, 2)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.site().certificate, tls.site().key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with Answering(1024, context) as server:
        command = load.command(toolbox, server.port, ORIGIN, 0.3)
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    result = load.read(toolbox, done.stdout)
    assert result.requests > 0
    assert result.errors == 0
    assert result.bytes >= 1024 * result.requests
    assert 0 < result.p50_us <= result.p99_us
    assert (server.targets, server.hosts) == ({"/1024"}, {"bench.example"})
