"""The program under test: `reviver` as a user starts it."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.support.stream import PATIENCE
from tests.support.wait import until

ROOT = Path(__file__).resolve().parents[2]
REVIVER = Path(os.environ.get("REVIVER", ROOT / ".venv" / "bin" / "reviver"))

Config = dict[str, Any]
Record = dict[str, Any]

_given: set[int] = set()


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nothing uses, never given twice, and outside the range that the system gives out itself."""
    while True:
        port = random.randint(10_500, 32_000)
        if port in _given:
            continue
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as sock, contextlib.suppress(OSError):
            sock.bind((host, port))
            _given.add(port)
            return port


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without what could change a proxy's or a client's mind."""
    env = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    for name in ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
        env.pop(name, None)
    return {**env, **(extra or {})}


def cli(
    *arguments: object, cwd: Path | None = None, env: Mapping[str, str] | None = None, seconds: float = 60
) -> "subprocess.CompletedProcess[str]":
    """Runs a command of `reviver` to its end."""
    return subprocess.run(
        [str(REVIVER), *map(str, arguments)],
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def assert_no_internals(text: str) -> None:
    """Nothing that only a crash prints."""
    for word in ("Traceback (most recent call last)", "panicked at", "RuntimeWarning", "never awaited"):
        assert word not in text, text[-3000:]


class Proxy:
    """`reviver run` with a configuration given as a tree.

    Ends with SIGTERM and checks then that it went with exit code 0 and that no crash is on its stderr.
    Files of `files` are written beside the configuration before the start; what it keeps by itself is in `state`.
    """

    def __init__(
        self,
        config: Config,
        *,
        files: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        wait: bool = True,
        stdout: int | None = None,
        preexec: Callable[[], None] | None = None,
        prefix: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="rv-")
        self.folder = Path(self._folder.name)
        self.folder.chmod(0o755)
        for name, text in (files or {}).items():
            self.write(name, text)
        self.path = self.folder / "reviver.json"
        self.config: Config = {"workers": 2, "control": {"socket": "control.sock"}, **config}
        self.save()
        self._out = (self.folder / "stdout.txt").open("wb")
        self._err = (self.folder / "stderr.txt").open("wb")

        def launch() -> "subprocess.Popen[bytes]":
            return subprocess.Popen(
                [*prefix, str(REVIVER), "run", str(self.path), *arguments],
                cwd=self.folder,
                env=environment({"XDG_STATE_HOME": str(self.folder / "state"), **(env or {})}),
                stdin=subprocess.DEVNULL,
                stdout=self._out if stdout is None else stdout,
                stderr=self._err,
                preexec_fn=preexec,
                pass_fds=pass_fds,
            )

        self._launch = launch
        self.process = self._launch()
        if wait:
            try:
                self.wait_listening()
            except BaseException:
                self.kill()
                raise

    # -- the configuration

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    def save(self) -> None:
        """Writes the configuration as it stands now, in one step, as editors do."""
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.config, indent=1))
        part.chmod(0o644)
        part.replace(self.path)

    def addresses(self) -> list[tuple[str, int]]:
        binds = [bind for listener in self.config["listeners"].values() for bind in _as_list(listener["bind"])]
        return [_split(bind) for bind in binds]

    @property
    def port(self) -> int:
        """The port of the first listener."""
        return self.addresses()[0][1]

    # -- the process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout.txt").read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr.txt").read_text(errors="replace")

    def wait_listening(self) -> None:
        for host, port in self.addresses():
            until(lambda host=host, port=port: self._answers(host, port), f"{host}:{port} to listen", 30)  # type: ignore[misc]

    def _answers(self, host: str, port: int) -> bool:
        code = self.process.poll()
        assert code is None, f"reviver ended with {code} at its start: {self.stderr[-3000:]}"
        return listens(port, host)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 40) -> int:
        """Waits for the end of the process; its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"reviver does not end: {self.stderr[-3000:]}") from None

    def stop(self) -> None:
        """SIGTERM, and then a clean end."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        code = self.wait()
        assert code == 0, f"exit code {code}: {self.stderr[-3000:]}"
        assert_no_internals(self.stderr)

    def restart(self, *, kill: bool = False) -> None:
        """Ends the process, by SIGKILL where wanted, and starts another one in the same folder."""
        if kill:
            self.process.kill()
            self.process.wait()
        else:
            self.stop()
        self.process = self._launch()
        self.wait_listening()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._out.close()
        self._err.close()

    def cli(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        """A command that talks to this proxy."""
        return cli(*arguments, cwd=self.folder)

    def status(self) -> Any:
        done = self.cli("status", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def reload(self) -> "subprocess.CompletedProcess[str]":
        """Saves the configuration and tells the proxy to read it."""
        self.save()
        return self.cli("reload")

    # -- the log

    def lines(self, name: str = "access.log") -> list[str]:
        path = self.folder / name
        return path.read_text(errors="surrogateescape").splitlines() if path.exists() else []

    def records(self, name: str = "access.log") -> list[Record]:
        """Whole records of a JSON log so far."""
        return [json.loads(line) for line in self.lines(name) if line.endswith("}")]

    def wait_records(self, wanted: Callable[[Record], bool], count: int = 1) -> list[Record]:
        """Waits until so many records are wanted ones."""
        return until(
            lambda: found if len(found := [r for r in self.records() if wanted(r)]) >= count else [],
            f"{count} records in {self.lines()[-5:]}",
        )

    def record(self, path: str) -> Record:
        """The one record of the request for a path."""
        found = self.wait_records(lambda record: record.get("path") == path)
        assert len(found) == 1, found
        return found[0]

    # -- the context

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        try:
            if error is not None:
                error.add_note(f"reviver said: {self.stderr[-2000:]}")
                if self.process.poll() is None:
                    self.process.terminate()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self.process.wait(5)
            else:
                self.stop()
        finally:
            self.kill()
            self._folder.cleanup()


def listens(port: int, host: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((host, port), PATIENCE).close()
    except OSError:
        return False
    return True


def resident(proxy: Proxy) -> int:
    """Memory of the process, in bytes."""
    (line,) = (line for line in Path(f"/proc/{proxy.pid}/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def _as_list(value: Any) -> list[str]:
    return list(value) if isinstance(value, list) else [str(value)]


def _split(bind: str) -> tuple[str, int]:
    host, _, port = bind.rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)


ACCESS_LOG: list[Config] = [{"to": "file:access.log", "format": "json"}]


def reverse(servers: Sequence[object] | None = None, *, routes: list[Config] | None = None, **top: Any) -> Config:
    """A reverse listener on a free port. Without `routes` all goes to pool `all` with these servers;
    further pools stand in `pools`, keys of the listener in `listener`."""
    pools: Config = {**top.pop("pools", {})}
    if servers is not None:
        pools["all"] = {"servers": list(servers), **top.pop("pool", {})}
    listener = {"bind": f"127.0.0.1:{free_port()}", "role": "reverse", **top.pop("listener", {})}
    return {
        "listeners": {"web": listener},
        "reverse": {"routes": routes or [{"name": "all", "match": {"path": "/*"}, "pool": "all"}], "pools": pools},
        "logs": ACCESS_LOG,
        **top,
    }


def forward(*, top: Config | None = None, listener: Config | None = None, **section: Any) -> Config:
    """A forward listener on a free port that may reach everything on loopback."""
    return {
        "listeners": {"office": {"bind": f"127.0.0.1:{free_port()}", "role": "forward", **(listener or {})}},
        "forward": {"private_destinations": "allow", "connect_ports": ["1-65535"], **section},
        "logs": ACCESS_LOG,
        **(top or {}),
    }
