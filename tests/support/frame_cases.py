"""Reads `tests/cases/http2/frames.txt`; the notation is told at its head."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from h2.errors import ErrorCodes

from tests.support import frames

FOLDER = Path(__file__).resolve().parents[1] / "cases" / "http2"
FLAGS = {
    "END_STREAM": frames.END_STREAM,
    "ACK": frames.ACK,
    "END_HEADERS": frames.END_HEADERS,
    "PADDED": frames.PADDED,
    "PRIORITY": frames.HAS_PRIORITY,
    "WHOLE": frames.END_STREAM | frames.END_HEADERS,
}
PAYLOAD = re.compile(
    r"""(?: <(?P<hex>[0-9a-f]*)> | "(?P<text>[^"]*)" | u(?P<bits>8|16|32):(?P<number>\w+)
        | (?P<setting>\w+)=(?P<value>\w+) | (?P<block>[A-Z_]+)(?:\[(?P<from>\d*):(?P<to>\d*)\])? )
        (?:\*(?P<times>\d+))?""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Case:
    name: str
    sent: bytes
    #: `fine`, `stream` or `connection`.
    wanted: str
    #: Error codes, or the stream that is answered.
    codes: tuple[int, ...]
    #: Codes of a GOAWAY that are wrong to the letter and do no harm.
    tolerated: tuple[int, ...]


def _payload(word: str, blocks: Mapping[str, bytes]) -> bytes:
    found = PAYLOAD.fullmatch(word)
    assert found, f"not a payload: {word}"
    if found["hex"] is not None:
        data = bytes.fromhex(found["hex"])
    elif found["text"] is not None:
        data = found["text"].encode()
    elif found["bits"]:
        data = int(found["number"], 0).to_bytes(int(found["bits"]) // 8, "big")
    elif found["setting"]:
        name = found["setting"]
        code = int(name, 0) if name[0].isdigit() else int(getattr(frames, name))
        data = code.to_bytes(2, "big") + int(found["value"], 0).to_bytes(4, "big")
    else:
        start, end = found["from"], found["to"]
        data = blocks[found["block"]][int(start) if start else None : int(end) if end else None]
    return data * int(found["times"] or 1)


def _frame(line: str, blocks: Mapping[str, bytes]) -> bytes:
    kind, stream, *words = line.split()
    flags, payload = 0, b""
    for word in words:
        if word in FLAGS:
            flags |= FLAGS[word]
        elif re.fullmatch(r"0x[0-9a-f]+", word):
            flags |= int(word, 0)
        else:
            payload += _payload(word, blocks)
    number = int(kind, 0) if kind[0].isdigit() else int(getattr(frames, kind))
    return frames.frame(number, flags, int(stream, 0), payload)


def _code(word: str) -> int:
    return int(word, 0) if word[0].isdigit() else int(ErrorCodes[word])


def read(blocks: Mapping[str, bytes], name: str = "frames.txt") -> list[Case]:
    cases: list[Case] = []
    title, sent = "", b""
    for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("    = "):
            wanted, *codes = line[6:].split()
            right = tuple(_code(code) for code in codes if code[0] != "~")
            cases.append(Case(title, sent, wanted, right, tuple(_code(code[1:]) for code in codes if code[0] == "~")))
            sent = b""
        elif line.startswith("    "):
            sent += _frame(line, blocks)
        elif line and not line.startswith("#"):
            title = line
    return cases
