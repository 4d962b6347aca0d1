"""Programs that people use, through the cache: fetched twice, the second time without the origin."""

import gzip
import hashlib
import http.server
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cache import serves, stage
from tests.support.origin import Origin
from tests.support.proxy import Proxy, environment, forward

HOUR = "Cache-Control: max-age=3600"
DATA = bytes(range(256)) * 1000
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")


class Files:
    """A server of files as people run them: dates of modification, no Cache-Control."""

    def __init__(self, folder: Path) -> None:
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments: object, **more: object) -> None:
                super().__init__(*arguments, directory=str(folder), **more)  # type: ignore[arg-type]

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Proxy]:
    """As an office would run it: files are kept for an hour, although pip and apt say `max-age=0` of indexes."""
    cache = {"disk": {"path": str(tmp_path / "cache"), "size": "64MiB"}}
    with Proxy(forward(cache={"ttl": "1h", "ignore_client_no_cache": True}, top={"cache": cache})) as proxy:
        yield proxy


def run(*command: object, **more: str) -> "subprocess.CompletedProcess[str]":
    words = [str(word) for word in command]
    return subprocess.run(words, env=environment(more), capture_output=True, text=True, timeout=60, check=False)


# -- pip


def age(folder: Path) -> None:
    """Files that were not changed for a while, as on a mirror."""
    for file in folder.rglob("*"):
        os.utime(file, (1_700_000_000, 1_700_000_000))


def wheel(folder: Path, name: str, version: str) -> None:
    """A package index (PEP 503) with one wheel."""
    info, file = f"{name}-{version}.dist-info", f"{name}-{version}-py3-none-any.whl"
    content = {
        f"{name}/__init__.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    content[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in content) + f"{info}/RECORD,,\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)
    place = folder / "simple" / name.replace("_", "-")
    place.mkdir(parents=True)
    (place / file).write_bytes(packed.getvalue())
    digest = hashlib.sha256(packed.getvalue()).hexdigest()
    (place / "index.html").write_text(
        f'<!DOCTYPE html><html><body><a href="{file}#sha256={digest}">{file}</a></body></html>'
    )


@pytest.mark.timeout(150)
def test_pip_twice(office: Proxy, tmp_path: Path) -> None:
    wheel(tmp_path / "index", "stored_by_proxy", "1.0")
    age(tmp_path / "index")
    files = Files(tmp_path / "index")

    def install(target: str) -> "subprocess.CompletedProcess[str]":
        return run(
            *(sys.executable, "-m", "pip", "--isolated", "install", "--no-cache-dir", "--no-deps", "--retries", "0"),
            *("--disable-pip-version-check", "--proxy", f"http://127.0.0.1:{office.port}"),
            *("--index-url", f"http://{files.address}/simple/", "--trusted-host", "127.0.0.1"),
            *("--target", tmp_path / target, "stored-by-proxy"),
        )

    for target in ("first", "second"):
        done = install(target)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / target / "stored_by_proxy" / "__init__.py").read_text() == "version = '1.0'\n"
        if target == "first":
            files.stop()


# -- apt


def debian_package(folder: Path, name: str) -> bytes:
    """A package made by hand: `ar` of a version, control and data."""

    def packed(files: dict[str, bytes]) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            for path, data in files.items():
                entry = tarfile.TarInfo(path)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        return out.getvalue()

    control = f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: T <t@t.example>\nDescription: a test\n"
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": packed({"./control": control.encode()}),
        "data.tar.gz": packed({f"./usr/share/{name}/file": b"x" * 1000}),
    }
    data = b"!<arch>\n"
    for member, body in members.items():
        data += f"{member:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(body):<10}`\n".encode()
        data += body + b"\n" * (len(body) % 2)
    (folder / "pool").mkdir(parents=True)
    (folder / "pool" / f"{name}.deb").write_bytes(data)
    packages = control + f"Filename: pool/{name}.deb\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
    index = folder / "dists/stable/main/binary-all"
    native = folder / f"dists/stable/main/binary-{architecture()}"
    for place in (index, native):
        place.mkdir(parents=True, exist_ok=True)
        (place / "Packages").write_text(packages)
        (place / "Packages.gz").write_bytes(gzip.compress(packages.encode(), mtime=0))
    lines = ["Suite: stable", "Codename: stable", "Components: main", f"Architectures: {architecture()} all", "SHA256:"]
    for file in sorted((folder / "dists/stable").rglob("Packages*")):
        body = file.read_bytes()
        lines.append(f" {hashlib.sha256(body).hexdigest()} {len(body)} {file.relative_to(folder / 'dists/stable')}")
    (folder / "dists/stable/Release").write_text("Date: Sat, 01 Jan 2022 00:00:00 UTC\n" + "\n".join(lines) + "\n")
    return data


def architecture() -> str:
    return run("dpkg", "--print-architecture").stdout.strip()


@pytest.mark.timeout(150)
@pytest.mark.skipif(shutil.which("apt-get") is None or shutil.which("dpkg") is None, reason="no apt-get here")
def test_apt_twice(office: Proxy, tmp_path: Path) -> None:
    package = debian_package(tmp_path / "mirror", "stored-by-proxy")
    age(tmp_path / "mirror")
    files = Files(tmp_path / "mirror")
    source = tmp_path / "sources.list"
    source.write_text(f"deb [trusted=yes] http://{files.address}/ stable main\n")
    (tmp_path / "status").write_text("")

    def fetch(name: str) -> None:
        """`apt-get update` and `download` with folders of their own."""
        place = tmp_path / name
        for folder in ("lists/partial", "archives/partial", "got"):
            (place / folder).mkdir(parents=True)
        settings = {
            "Dir::Etc::SourceList": source,
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State": place,
            "Dir::State::Lists": place / "lists",
            "Dir::State::status": tmp_path / "status",
            "Dir::Cache": place,
            "Dir::Cache::archives": place / "archives",
            "Acquire::Retries": 0,
            "Acquire::http::Timeout": 10,
            "Acquire::http::Proxy": f"http://127.0.0.1:{office.port}",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        options = [f"-o{key}={value}" for key, value in settings.items()]
        done = run("apt-get", "update", "--error-on=any", *options)
        assert done.returncode == 0, done.stdout + done.stderr
        script = 'cd "$1" && shift && exec "$@"'
        done = run("sh", "-c", script, "-", place / "got", "apt-get", "download", "stored-by-proxy", *options)
        assert done.returncode == 0, done.stdout + done.stderr
        (got,) = (place / "got").glob("*.deb")
        assert got.read_bytes() == package

    fetch("first")
    files.stop()
    fetch("second")


# -- curl


def curl(*arguments: object) -> str:
    done = run("curl", "-sS", "--max-time", "30", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_curl
def test_curl_ranges(tmp_path: Path) -> None:
    with stage("reverse") as on:
        on.origin.on("/file", serves(DATA, HOUR, 'ETag: "a"'))
        url, out = f"http://127.0.0.1:{on.proxy.port}/file", tmp_path / "out"
        curl("-o", out, url)
        assert out.read_bytes() == DATA
        curl("--range", "100-199", "-o", out, url)
        assert out.read_bytes() == DATA[100:200]
        out.write_bytes(DATA[:1000])
        curl("--continue-at", "-", "-o", out, url)
        assert out.read_bytes() == DATA, "a download is taken up where it stopped"
        assert on.asked("/file") == 1


@needs_curl
def test_curl_time_and_tag_conditions(tmp_path: Path) -> None:
    with stage("reverse") as on:
        on.on("/file", HOUR, 'ETag: "a"', "Last-Modified: Tue, 15 Nov 1994 12:45:26 GMT", body=b"text")
        url, tag = f"http://127.0.0.1:{on.proxy.port}/file", tmp_path / "tag"
        shown = ("-w", "%{http_code}", "-o", tmp_path / "out")
        assert curl(*shown, url) == "200"
        assert curl(*shown, "-z", "Tue, 15 Nov 1994 12:45:26 GMT", url) == "304"
        assert curl(*shown, "-z", "Mon, 14 Nov 1994 12:45:26 GMT", url) == "200"
        assert curl(*shown, "--etag-save", tag, url) == "200"
        assert curl(*shown, "--etag-compare", tag, url) == "304"
        assert on.asked("/file") == 1


@needs_curl
def test_curl_forward_twice() -> None:
    with Origin() as origin, Proxy(forward(cache=True)) as proxy:
        origin.on("/file", serves(DATA, HOUR))
        url = f"http://{origin.address}/file"
        command = ("--noproxy", "", "--proxy", f"127.0.0.1:{proxy.port}", "-o", os.devnull, "-w", "%{size_download}")
        assert curl(*command, url) == str(len(DATA))
        origin.close()
        assert curl(*command, url) == str(len(DATA))
