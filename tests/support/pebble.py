"""Pebble, Let's Encrypt's test server for ACME, with names and ports of the test's own."""

import functools
import json
import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

import pytest

from tests.support.names import NameServer
from tests.support.proxy import Config, free_port
from tests.support.tls import authority
from tests.support.wait import until


@functools.cache
def program() -> str:
    """The path of `pebble`; skips aloud where it is not there and cannot be installed."""
    if found := shutil.which("pebble"):
        return found
    said = "apt-get is not here, or this is not root"
    if os.geteuid() == 0 and shutil.which("apt-get"):
        done = subprocess.run(
            ["apt-get", "-qq", "install", "--no-install-recommends", "pebble"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
        if found := shutil.which("pebble"):
            return found
        said = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
    pytest.skip(f"pebble is missing and cannot be installed: {said}")


class Pebble:
    """A server that proves names on the given ports of loopback.

    Each name has to be told: `names.set("a.example", "127.0.0.1")`. Roots and accounts are new at each start.
    """

    def __init__(
        self,
        *,
        http: int | None = None,
        tls: int | None = None,
        valid_seconds: int | None = None,
        external: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        blocked: tuple[str, ...] = (),
    ) -> None:
        self.names = NameServer()
        self.port, self.management = free_port(), free_port()
        self.directory = f"https://localhost:{self.port}/dir"
        #: The authorities of the directory itself, for `directory_ca`.
        self.directory_ca = authority().file
        self._folder = tempfile.TemporaryDirectory(prefix="rv-pebble-")
        leaf = authority().leaf("localhost", "127.0.0.1")
        settings: dict[str, Any] = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(leaf.certificate),
            "privateKey": str(leaf.key),
            "httpPort": http or free_port(),
            "tlsPort": tls or free_port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": external is not None,
            "externalAccountMACKeys": dict(external or {}),
            "domainBlocklist": list(blocked),
        }
        if valid_seconds is not None:
            settings["certificateValidityPeriod"] = valid_seconds
        (Path(self._folder.name) / "pebble.json").write_text(json.dumps({"pebble": settings}))
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PEBBLE_")},
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_AUTHZREUSE": "0",
            **(env or {}),
        }
        self._start()

    def _start(self) -> None:
        with (Path(self._folder.name) / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [program(), "-config", "pebble.json", "-dnsserver", f"127.0.0.1:{self.names.port}"],
                cwd=self._folder.name,
                env=self._env,
                stdout=log,
                stderr=log,
            )
        until(self._answers, "pebble to answer", 30)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log[-3000:]
        try:
            self._get(self.directory)
            self._get(f"https://localhost:{self.management}/roots/0")
        except OSError:
            return False
        return True

    def _get(self, url: str) -> bytes:
        context = ssl.create_default_context(cafile=str(self.directory_ca))
        with urlopen(url, context=context, timeout=10) as answer:
            return bytes(answer.read())

    @property
    def log(self) -> str:
        return (Path(self._folder.name) / "log").read_text(errors="replace")

    @property
    def root(self) -> str:
        """The root of what it issues, PEM."""
        return self._get(f"https://localhost:{self.management}/roots/0").decode()

    def context(self) -> ssl.SSLContext:
        """A client's that trusts what it issues and nothing else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.root)
        return context

    def count(self, text: str) -> int:
        """How often its log says something."""
        return self.log.count(text)

    def automatic(self, *domains: str, **more: Any) -> Config:
        """`tls.automatic` of a listener that obtains certificates here; the names are made known."""
        for name in domains:
            self.names.set(name, "127.0.0.1")
        return {
            "email": "ops@example.com",
            "directory": self.directory,
            "directory_ca": str(self.directory_ca),
            "domains": list(domains),
            "storage": "certificates",
            **more,
        }

    def stop(self) -> None:
        """Nothing answers any more."""
        self.process.terminate()
        self.process.wait(30)

    def start(self) -> None:
        """After `stop`: a new server at the same place, which knows no account."""
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.names.sock.close()
        self._folder.cleanup()
