"""From a file to a document: its bytes, its encoding, its format."""

from pathlib import Path

from reviver.config.formats.document import Document, TextError
from reviver.config.positions import Mark

__all__ = ["FORMATS", "MAX_BYTES", "parse", "read"]

FORMATS = (".yaml", ".yml", ".toml", ".json")
"""File name endings, in the order in which a folder is searched. Any other is read as YAML."""

MAX_BYTES = 16 * 2**20
"""The largest configuration that is read."""


def read(path: Path) -> str:
    """The text of a file. Raises TextError where it is missing, unreadable, too large, or not UTF-8."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise TextError(Mark(0, 0), "there is no such file") from None
    except OSError as error:
        raise TextError(Mark(0, 0), f"cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise TextError(Mark(0, 0), f"cannot be read: {error}") from None
    if len(raw) > MAX_BYTES:
        raise TextError(Mark(0, 0), f"is larger than {MAX_BYTES // 2**20} MiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8-sig", "replace")) + 1
        raise TextError(Mark(line, column), "the text is not UTF-8", "save the file as UTF-8") from None


def parse(text: str, suffix: str) -> Document:
    """Parses a text by the format of a file name's ending. Raises TextError where it is not of that format."""
    # each reader with its library is only loaded when it is needed: start-up time
    match suffix.lower():
        case ".json":
            from reviver.config.formats.json import parse_json

            return parse_json(text)
        case ".toml":
            from reviver.config.formats.toml import parse_toml

            return parse_toml(text)
        case _:
            from reviver.config.formats.yaml import parse_yaml

            return parse_yaml(text)
