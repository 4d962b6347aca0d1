"""The clients that people use."""

import asyncio
import http.client
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import httpx
import pytest
import requests

from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, environment, forward, reverse

BODY = bytes(range(256)) * 1000


def echo(exchange: Exchange) -> None:
    exchange.respond(200, exchange.read_body() or b"nothing")


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        origin.on("/echo", echo)
        yield origin


@pytest.fixture(scope="module")
def web(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address])) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def office() -> Iterator[Proxy]:
    with Proxy(forward()) as proxy:
        yield proxy


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")


def curl(*arguments: object) -> str:
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "30", *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_curl
@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
def test_curl_reverse(web: Proxy, version: str) -> None:
    base = f"http://127.0.0.1:{web.port}"
    assert curl(version, f"{base}/a", f"{base}/b") == "origin GET /aorigin GET /b"
    assert curl(version, "-I", f"{base}/head").startswith("HTTP/1.1 200")


@needs_curl
def test_curl_uploads(web: Proxy, tmp_path: Path) -> None:
    file = tmp_path / "body"
    file.write_text("upload me" * 200_000)
    url = f"http://127.0.0.1:{web.port}/echo"
    for arguments in (
        ["-T", file],
        ["-T", file, "-H", "Transfer-Encoding: chunked"],
        ["--data-binary", f"@{file}", "-H", "Expect: 100-continue"],
    ):
        assert curl(*arguments, url) == file.read_text()


@needs_curl
@pytest.mark.parametrize(
    "how", [["--proxy"], ["--proxytunnel", "--proxy"], ["--proxy1.0"], ["--socks5-hostname"], ["--socks5"]]
)
def test_curl_forward(office: Proxy, origin: Origin, how: list[str]) -> None:
    proxy = f"127.0.0.1:{office.port}"
    assert curl("--noproxy", "", *how, proxy, f"http://{origin.address}/c1", f"http://{origin.address}/c2") == (
        "origin GET /c1origin GET /c2"
    )
    assert curl("--noproxy", "", *how, proxy, "-d", "hello", f"http://{origin.address}/echo") == "hello"


def test_http_client(web: Proxy, office: Proxy, origin: Origin) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=15)
    for _ in range(3):
        connection.request("POST", "/echo", body=BODY)
        assert connection.getresponse().read() == BODY
    connection.request(
        "PUT", "/echo", body=iter([BODY, BODY]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
    )
    assert connection.getresponse().read() == BODY + BODY
    connection.close()
    tunnel = http.client.HTTPConnection("127.0.0.1", office.port, timeout=15)
    tunnel.set_tunnel("127.0.0.1", origin.port)
    tunnel.request("GET", "/tunnel")
    assert tunnel.getresponse().read() == b"origin GET /tunnel"
    tunnel.close()


def test_urllib(office: Proxy, origin: Origin) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": f"http://127.0.0.1:{office.port}"}))
    with opener.open(f"http://{origin.address}/urllib", timeout=15) as response:
        assert response.read() == b"origin GET /urllib"


def test_requests(web: Proxy, office: Proxy, origin: Origin) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(3):
            assert session.post(f"http://127.0.0.1:{web.port}/echo", data=BODY, timeout=15).content == BODY
    for scheme in ("http", "socks5h"):
        with requests.Session() as session:
            session.trust_env = False
            session.proxies = {"http": f"{scheme}://127.0.0.1:{office.port}"}
            response = session.get(f"http://{origin.address}/requests", timeout=15)
            assert response.text == "origin GET /requests"


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_httpx(web: Proxy, office: Proxy, origin: Origin, scheme: str) -> None:
    with httpx.Client(trust_env=False, timeout=15) as client:
        assert client.post(f"http://127.0.0.1:{web.port}/echo", content=iter([BODY, BODY])).content == BODY + BODY
    with httpx.Client(proxy=f"{scheme}://127.0.0.1:{office.port}", trust_env=False, timeout=15) as client:
        for _ in range(3):
            assert client.get(f"http://{origin.address}/httpx").text == "origin GET /httpx"


def test_aiohttp(web: Proxy, office: Proxy, origin: Origin) -> None:
    async def talk() -> None:
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout) as session:

            async def one(index: int) -> None:
                async with session.get(f"http://127.0.0.1:{web.port}/aio/{index}") as response:
                    assert await response.text() == f"origin GET /aio/{index}"

            await asyncio.gather(*(one(i) for i in range(50)))
            proxy = f"http://127.0.0.1:{office.port}"
            async with session.get(f"http://{origin.address}/aiohttp", proxy=proxy) as response:
                assert await response.text() == "origin GET /aiohttp"

    asyncio.run(talk())


def office_to_the_world() -> Proxy:
    """A forward proxy as an office would run it; registries may well be mirrors inside the house."""
    return Proxy(forward(connect_ports=[443, "1024-65535"], private_destinations="allow"))


def run(command: list[str], **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, env=environment(more), capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.network
@pytest.mark.timeout(150)
def test_pip_through_the_forward_proxy(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--retries", "1", "six", "-d"]
    if run([*command, str(tmp_path / "direct")], PIP_FIND_LINKS="").returncode != 0:
        pytest.skip("the package index does not answer here: pip through the proxy was NOT tested")
    with office_to_the_world() as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        done = run([*command, str(tmp_path / "proxied"), "--proxy", url], PIP_FIND_LINKS="")
        assert done.returncode == 0, done.stderr
        assert list((tmp_path / "proxied").glob("six*"))
        assert proxy.wait_records(lambda record: record["response_body"] > 5000)


@pytest.mark.network
@pytest.mark.timeout(150)
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt-get here")
def test_apt_get_through_the_forward_proxy(tmp_path: Path) -> None:
    keys = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    if not keys.exists():
        pytest.skip("no Debian keyring here: apt-get through the proxy was NOT tested")
    for name in ("lists/partial", "cache/archives/partial"):
        (tmp_path / name).mkdir(parents=True)
    source = tmp_path / "sources.list"
    source.write_text(f"deb [signed-by={keys}] http://deb.debian.org/debian stable-updates main\n")
    settings = {
        "Dir::Etc::SourceList": str(source),
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": str(tmp_path / "lists"),
        "Dir::Cache": str(tmp_path / "cache"),
        "Acquire::Retries": "0",
        "Acquire::http::Timeout": "10",
        "APT::Sandbox::User": "root",
    }

    def update(proxy: str) -> "subprocess.CompletedProcess[str]":
        options = {**settings, "Acquire::http::Proxy": proxy}
        return run(["apt-get", "update", *(f"-o{name}={value}" for name, value in options.items())])

    if update("DIRECT").returncode != 0:
        pytest.skip("the Debian mirror does not answer here: apt-get through the proxy was NOT tested")
    shutil.rmtree(tmp_path / "lists")
    (tmp_path / "lists/partial").mkdir(parents=True)
    with office_to_the_world() as proxy:
        done = update(f"http://127.0.0.1:{proxy.port}")
        assert done.returncode == 0, done.stdout + done.stderr
        assert proxy.wait_records(lambda record: "Release" in record.get("path", "") and record.get("status") == 200)
