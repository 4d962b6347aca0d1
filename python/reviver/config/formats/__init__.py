"""The formats in which a configuration may be written; each gives the same tree with the place of each key."""

from reviver.config.formats.document import Document, TextError
from reviver.config.formats.reading import FORMATS, parse, read

__all__ = ["FORMATS", "Document", "TextError", "parse", "read"]
