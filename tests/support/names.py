"""A name server on loopback whose answers a test writes, and which remembers what it was asked."""

import socket
import threading
from typing import Self

from dnslib import AAAA, QTYPE, RCODE, RR, A, DNSRecord

from tests.support.proxy import Config


class NameServer:
    """Answers `A` and `AAAA` over UDP. Unknown names do not exist; silent ones get no answer at all."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = int(self.sock.getsockname()[1])
        #: Every question: name without the final dot in lower case, and type.
        self.questions: list[tuple[str, str]] = []
        self._zone: dict[tuple[str, str], list[list[str]]] = {}
        self._ttl: dict[str, int] = {}
        self._silent: set[str] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def config(self) -> Config:
        """The `resolver` section that asks this server alone."""
        return {"servers": [f"127.0.0.1:{self.port}"], "hosts_file": False}

    def set(self, name: str, *addresses: str, ttl: int = 300) -> None:
        """Gives a name its addresses, IPv4 and IPv6 mixed."""
        self.sequence(name, list(addresses), ttl=ttl)

    def sequence(self, name: str, *answers: list[str], ttl: int = 0) -> None:
        """Gives a name one answer after another, the last one for ever: a name that is rebound."""
        with self._lock:
            self._ttl[name] = ttl
            self._zone[name, "A"] = [[a for a in answer if ":" not in a] for answer in answers]
            self._zone[name, "AAAA"] = [[a for a in answer if ":" in a] for answer in answers]

    def silence(self, name: str) -> None:
        self._silent.add(name)

    def asked(self, name: str, kind: str = "A") -> int:
        with self._lock:
            return self.questions.count((name, kind))

    def _serve(self) -> None:
        while True:
            try:
                data, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            answer = self._answer(data)
            if answer is not None:
                self.sock.sendto(answer, peer)

    def _answer(self, data: bytes) -> bytes | None:
        query = DNSRecord.parse(data)
        name, kind = str(query.q.qname).rstrip(".").lower(), str(QTYPE[query.q.qtype])
        reply = query.reply()
        with self._lock:
            self.questions.append((name, kind))
            if name in self._silent:
                return None
            if (name, "A") not in self._zone:
                reply.header.rcode = RCODE.NXDOMAIN
                return bytes(reply.pack())
            answers = self._zone.get((name, kind), [[]])
            addresses = answers.pop(0) if len(answers) > 1 else answers[0]
            for address in addresses:
                data_of = A(address) if kind == "A" else AAAA(address)
                reply.add_answer(RR(query.q.qname, query.q.qtype, rdata=data_of, ttl=self._ttl[name]))
        return bytes(reply.pack())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()
