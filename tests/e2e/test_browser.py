"""A browser: Chromium loads a page with two hundred parts over HTTP/2, and speaks WebSocket."""

import base64
import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.origin import Exchange, Origin, responds
from tests.support.proxy import Proxy, environment, reverse
from tests.support.tls import site, tls_listener
from tests.support.wait import until
from tests.support.websocket import WebSocketServer

CHROMIUM = shutil.which("chromium")
PARTS = 200
PAGE = """<!doctype html><meta charset="utf-8"><title>parts</title><body>waiting<script>
const say = text => fetch("/report", {method: "POST", body: document.body.textContent = text});
const sum = async () => {
  const parts = [...Array(PARTS).keys()].map(async i => {
    const answer = await fetch(`/part/${i}`);
    if (!answer.ok) throw new Error(`part ${i}: ${answer.status}`);
    return Number(await answer.text());
  });
  return (await Promise.all(parts)).reduce((a, b) => a + b, 0);
};
const socket = () => new Promise((resolve, reject) => {
  const ws = new WebSocket(`wss://${location.host}/ws/browser`);
  ws.onopen = () => ws.send("hello");
  ws.onmessage = event => { resolve(event.data); ws.close(); };
  ws.onerror = () => reject(new Error("the WebSocket failed"));
});
const protocols = () => [...new Set(performance.getEntriesByType("resource").map(e => e.nextHopProtocol))].join("+");
Promise.all([sum(), socket()])
  .then(([total, echo]) => say(`total=${total} echo=${echo} protocols=${protocols()}`))
  .catch(error => say(`failed: ${error}`));
</script>""".replace("PARTS", str(PARTS))


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    """The page, its parts, and where it tells what it found."""

    def part(exchange: Exchange) -> None:
        number = exchange.request.target.rpartition("/")[2]
        exchange.respond(200, number.encode(), ("Content-Type", "text/plain"), ("Cache-Control", "no-store"))

    with Origin(handler=part) as origin:
        origin.on("/", responds(200, PAGE.encode(), ("Content-Type", "text/html")))
        origin.on("/favicon.ico", responds(404))
        yield origin


def pin() -> str:
    """The site's key, by which this browser accepts its certificate and no other."""
    key = x509.load_der_x509_certificate(site().der).public_key()
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(info).digest()).decode()


@pytest.mark.timeout(120)
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: the page in a browser was NOT tested")
def test_a_page_with_many_parts_and_a_websocket(origin: Origin, tmp_path: Path) -> None:
    with WebSocketServer() as peer:
        routes = [
            {"name": "ws", "match": {"path": "/ws/*"}, "pool": "ws"},
            {"name": "all", "match": {"path": "/*"}, "pool": "all"},
        ]
        config = reverse(
            [origin.address], routes=routes, pools={"ws": {"servers": [peer.address]}}, listener=tls_listener()
        )
        with Proxy(config) as proxy:
            with browser(f"https://localhost:{proxy.port}/", tmp_path):
                request = origin.wait_for("/report", seconds=90)
                until(lambda: request.complete, "the whole report")
            assert request.body.decode() == f"total={sum(range(PARTS))} echo=hello protocols=h2"
            records = proxy.wait_records(lambda record: record.get("path", "").startswith("/part/"), PARTS)
            assert {record["path"] for record in records} == {f"/part/{i}" for i in range(PARTS)}
            assert {(record["protocol"], record["status"], record["reason"]) for record in records} == {
                ("HTTP/2.0", 200, "forwarded")
            }
            assert len({record["client_port"] for record in records}) == 1, "over one connection"
            socket = proxy.record("/ws/browser")
            assert socket["tunnel"]
            assert socket["protocol"] == "HTTP/2.0", "by RFC 8441, as HTTP/2 is there already"
            assert "Chrome/" in records[0]["user_agent"]


@contextlib.contextmanager
def browser(url: str, folder: Path) -> Iterator[None]:
    """Chromium with a page, until the end of the context."""
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(CHROMIUM),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--no-default-browser-check",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-default-apps",
                "--disable-dev-shm-usage",
                "--disable-extensions",
                "--disable-sync",
                "--no-proxy-server",
                "--remote-debugging-port=0",
                f"--user-data-dir={folder / 'profile'}",
                f"--ignore-certificate-errors-spki-list={pin()}",
                url,
            ],
            env=environment({"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder)}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    except BaseException as error:
        error.add_note((folder / "chromium.log").read_text(errors="replace")[-3000:])
        raise
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its children are of its own session
        process.wait()
