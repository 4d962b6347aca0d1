"""An authoritative name server on loopback, by UDP and TCP, whose records have the time to live that a test gives."""

import socket
import struct
import threading
from contextlib import suppress
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.support.proxy import Config
from tests.support.stream import PATIENCE

#: What a UDP answer may be long without EDNS (RFC 1035, section 2.3.4).
UDP = 512


class Zone:
    """Answers for all names: those without records do not exist, those without records of a type have none of it."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self._records: dict[str, dict[str, dns.rrset.RRset]] = {}
        self._troubles: dict[tuple[str, str], str] = {}
        #: Every question: name, type, and `udp` or `tcp`.
        self.questions: list[tuple[str, str, str]] = []
        self._news = threading.Condition()
        while True:
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._udp.bind((host, 0))
            self.port = int(self._udp.getsockname()[1])
            with suppress(OSError):
                self._tcp = socket.create_server((host, self.port))
                break
            self._udp.close()
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    @property
    def config(self) -> Config:
        """The `resolver` section that asks this server alone."""
        return {"servers": [f"{self.host}:{self.port}"]}

    def set(self, name: str, kind: str, *data: str, ttl: int = 300) -> None:
        """Gives a name its records of one type; without any it has none of that type, but exists."""
        with self._news:
            kinds = self._records.setdefault(name, {})
            kinds.pop(kind, None)
            if data:
                kinds[kind] = dns.rrset.from_text(f"{name}.", ttl, "IN", kind, *data)

    def remove(self, name: str) -> None:
        with self._news:
            self._records.pop(name, None)

    def trouble(self, name: str, kind: str, what: str | None) -> None:
        """Answers a question by an error such as SERVFAIL, or by `silence`; by none again."""
        with self._news:
            if what is None:
                self._troubles.pop((name, kind), None)
            else:
                self._troubles[name, kind] = what

    def asked(self, name: str, kind: str = "A", by: str | None = None) -> int:
        with self._news:
            return self._count(name, kind, by)

    def _count(self, name: str, kind: str, by: str | None) -> int:
        return sum(asked[:2] == (name, kind) and by in (None, asked[2]) for asked in self.questions)

    def wait_asked(self, name: str, count: int, kind: str = "A") -> None:
        """Waits until a question has come so many times in all."""
        with self._news:
            came = self._news.wait_for(lambda: self._count(name, kind, None) >= count, PATIENCE)
            assert came, f"{name} {kind} was asked for {self._count(name, kind, None)} of {count} times"

    def wait_asked_anew(self, name: str, kind: str = "A") -> None:
        """Waits for a question that comes from here on; one that is on its way does not count."""
        self.wait_asked(name, self.asked(name, kind) + 2, kind)

    # -- answering

    def _answer(self, wire: bytes, by: str) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        with self._news:
            self.questions.append((name, kind, by))
            self._news.notify_all()
            trouble = self._troubles.get((name, kind))
            if trouble == "silence":
                return None
            if trouble is not None:
                answer.set_rcode(dns.rcode.from_text(trouble))
            elif name not in self._records:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            else:
                self._fill(answer, name, kind)
        return answer.to_wire(max_size=UDP if by == "udp" else 65535, prefer_truncation=True)

    def _fill(self, answer: dns.message.Message, name: str, kind: str) -> None:
        """The records of a name, and of the one that it is another name for."""
        kinds = self._records.get(name, {})
        if kind in kinds:
            answer.answer.append(kinds[kind])
        elif "CNAME" in kinds:
            answer.answer.append(kinds["CNAME"])
            self._fill(answer, kinds["CNAME"][0].target.to_text(omit_final_dot=True), kind)

    def _serve_udp(self) -> None:
        with suppress(OSError):
            while True:
                wire, peer = self._udp.recvfrom(65535)
                if not wire:
                    # it was shut down
                    return
                if (answer := self._answer(wire, "udp")) is not None:
                    self._udp.sendto(answer, peer)

    def _serve_tcp(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._tcp.accept()
                with sock, sock.makefile("rb") as stream:
                    (length,) = struct.unpack("!H", stream.read(2))
                    if (answer := self._answer(stream.read(length), "tcp")) is not None:
                        sock.sendall(struct.pack("!H", len(answer)) + answer)

    def close(self) -> None:
        """Answers nothing from here on."""
        for sock in (self._udp, self._tcp):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
