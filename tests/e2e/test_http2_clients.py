"""The clients of HTTP/2 that people use."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.http2_origin import Http2Origin
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, environment, forward, reverse
from tests.support.tls import ServerTls, alice, authority, client_context, tls_listener

BODY = bytes(range(256)) * 1000
CA = str(authority().file)
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    def echo(exchange: Exchange) -> None:
        exchange.respond(200, exchange.read_body() or b"nothing")

    with Origin() as origin:
        origin.on("/echo", echo)
        yield origin


@pytest.fixture(scope="module")
def secure(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address], listener=tls_listener())) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def plain(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address])) as proxy:
        yield proxy


def run(*command: object, seconds: float = 60) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_curl
@pytest.mark.parametrize(("flag", "version"), [("--http2", "2"), ("--http1.1", "1.1"), ("--no-alpn", "1.1")])
def test_curl_over_tls(secure: Proxy, flag: str, version: str) -> None:
    base = f"https://localhost:{secure.port}"
    curl = ["curl", "-sS", "--cacert", CA, flag]
    assert run(*curl, f"{base}/a", f"{base}/b") == "origin GET /aorigin GET /b"
    assert run(*curl, "-o", "/dev/null", "-w", "%{http_version} %{ssl_verify_result}", f"{base}/v") == f"{version} 0"
    assert run(*curl, "-I", f"{base}/head").startswith(f"HTTP/{version} 200")


@needs_curl
def test_curl_with_prior_knowledge(plain: Proxy) -> None:
    base = f"http://127.0.0.1:{plain.port}"
    assert run("curl", "-sS", "--http2-prior-knowledge", f"{base}/prior") == "origin GET /prior"
    said = run("curl", "-sS", "--http2", f"{base}/upgrade")
    assert said == "origin GET /upgrade", "it asks for h2c, and is fine without"


@needs_curl
def test_curl_uploads(secure: Proxy, tmp_path: Path) -> None:
    file = tmp_path / "body"
    file.write_text("upload me" * 200_000)
    url = f"https://localhost:{secure.port}/echo"
    for arguments in (["-T", file], ["--data-binary", f"@{file}", "-H", "Expect: 100-continue"]):
        assert run("curl", "-sS", "--cacert", CA, "--http2", *arguments, url) == file.read_text()


@needs_curl
def test_curl_in_parallel(secure: Proxy) -> None:
    """Many transfers over one connection."""
    url = f"https://localhost:{secure.port}/parallel/[1-50]"
    out = run("curl", "-sS", "--cacert", CA, "--http2", "--parallel", "--parallel-max", "50", url)
    assert sorted(re.findall(r"/parallel/\d+", out)) == sorted(f"/parallel/{i}" for i in range(1, 51))


@needs_curl
def test_curl_with_a_client_certificate(origin: Origin) -> None:
    listener = tls_listener(tls={"client_ca": CA})
    with Proxy(reverse([origin.address], listener=listener)) as proxy:
        own = ["--cert", alice().certificate, "--key", alice().key]
        url = f"https://localhost:{proxy.port}/mine"
        assert run("curl", "-sS", "--cacert", CA, *own, url) == "origin GET /mine"


def test_httpx_over_tls(secure: Proxy) -> None:
    with httpx.Client(http2=True, verify=client_context(), trust_env=False, timeout=15) as client:
        for i in range(5):
            response = client.get(f"https://localhost:{secure.port}/httpx/{i}")
            assert (response.text, response.http_version) == (f"origin GET /httpx/{i}", "HTTP/2")
        assert client.post(f"https://localhost:{secure.port}/echo", content=iter([BODY, BODY])).content == BODY + BODY


def test_httpx_with_prior_knowledge(plain: Proxy) -> None:
    with httpx.Client(http1=False, http2=True, trust_env=False, timeout=15) as client:
        response = client.post(f"http://127.0.0.1:{plain.port}/echo", content=BODY)
        assert (response.content, response.http_version) == (BODY, "HTTP/2")


def test_httpx_many_at_the_same_time(secure: Proxy) -> None:
    async def talk() -> None:
        async with httpx.AsyncClient(http2=True, verify=client_context(), trust_env=False, timeout=30) as client:
            urls = [f"https://localhost:{secure.port}/async/{i}" for i in range(100)]
            responses = await asyncio.gather(*(client.get(url) for url in urls))
            assert [one.text for one in responses] == [f"origin GET /async/{i}" for i in range(100)]
            assert {one.http_version for one in responses} == {"HTTP/2"}

    asyncio.run(talk())


def test_httpx_through_a_tunnel() -> None:
    """HTTP/2 within CONNECT: the proxy passes TLS on as it is."""
    with (
        Http2Origin(tls=ServerTls(alpn=["h2", "http/1.1"])) as two,
        Proxy(forward()) as office,
        httpx.Client(
            http2=True, verify=client_context(), proxy=f"http://127.0.0.1:{office.port}", trust_env=False, timeout=15
        ) as client,
    ):
        response = client.get(f"https://localhost:{two.port}/tunnel")
        assert (response.text, response.http_version) == ("origin GET /tunnel", "HTTP/2")


@pytest.mark.skipif(shutil.which("h2load") is None, reason="no h2load here: HTTP/2 was NOT tested under its load")
@pytest.mark.parametrize("streams", [1, 10, 100])
@pytest.mark.parametrize("tls", [True, False], ids=["TLS", "prior knowledge"])
def test_h2load(secure: Proxy, plain: Proxy, tls: bool, streams: int) -> None:
    url = f"https://localhost:{secure.port}/load" if tls else f"http://127.0.0.1:{plain.port}/load"
    out = run("h2load", "-n", "2000", "-c", "4", "-m", streams, url)
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in out, out
    assert "status codes: 2000 2xx" in out


@pytest.mark.skipif(shutil.which("h2load") is None, reason="no h2load here: HTTP/2 was NOT tested under its load")
def test_h2load_to_http2(tmp_path: Path) -> None:
    """HTTP/2 on both sides, with bodies."""
    body = tmp_path / "body"
    body.write_bytes(b"x" * 5_000)
    with Http2Origin() as two, Proxy(reverse([two.address], pool={"protocol": "h2"}, listener=tls_listener())) as proxy:
        out = run("h2load", "-n", "300", "-c", "2", "-m", "10", "-d", body, f"https://localhost:{proxy.port}/load")
        assert "300 succeeded, 0 failed, 0 errored, 0 timeout" in out, out
        records = proxy.wait_records(lambda record: record["request_body"] == 5_000, 300)
        assert {record["reason"] for record in records} == {"forwarded"}


@pytest.mark.skipif(shutil.which("nghttp") is None, reason="no nghttp here")
def test_nghttp(secure: Proxy) -> None:
    """Another stack's client, with its own ideas of SETTINGS and priorities."""
    out = run("nghttp", "-v", f"https://localhost:{secure.port}/nghttp", f"https://localhost:{secure.port}/echo")
    assert "origin GET /nghttp" in out
    assert ":status: 200" in out
