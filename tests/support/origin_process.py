"""An origin in a process of its own, to be killed by the system: nothing of it is tidied up.

Run as a program it serves until it is killed: NAME HOST PORT.
"""

import signal
import subprocess
import sys
import threading
from typing import Self

from tests.support.origin import Origin
from tests.support.proxy import ROOT, environment, free_port, listens
from tests.support.wait import until


class OriginProcess:
    """`SIGKILL` ends it; `start` brings it back at the same address."""

    def __init__(self, name: str, host: str = "127.0.0.1") -> None:
        self.name, self.host, self.port = name, host, free_port(host)
        self.address = f"{host}:{self.port}"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.origin_process", self.name, self.host, str(self.port)],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
        )
        until(lambda: listens(self.port, self.host), f"{self.name} to listen", 30)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Stops it in its tracks: the kernel still takes connections, and nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


if __name__ == "__main__":
    Origin(sys.argv[1], host=sys.argv[2], port=int(sys.argv[3]))
    threading.Event().wait()
