"""What can go wrong, as exceptions.

    ReviverError                  the root: everything that Reviver raises on purpose
    ├── ConfigurationError        what was written cannot be used; `.diagnostics` says why (exit code 2)
    └── OperationError            what was asked could not be done (exit code 1)

The text of each is for a person: one line, or one line for each diagnostic; never a traceback.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["ConfigurationError", "Diagnostic", "OperationError", "ReviverError", "Severity"]

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is wrong in what a person wrote, and where.

    `str()` gives `file:line:column: key.path: sentence (hint)`; parts that are not known are left out.
    """

    file: str
    """The file as the person named it, or what stands for it (`command line`)."""
    line: int
    """Line, from 1; 0 where there is no text to point into."""
    column: int
    """Column in characters, from 1; 0 where the line is all that is known."""
    path: str
    """Key path such as `reverse.routes[0].match.host`; empty for the document as a whole."""
    sentence: str
    """What is wrong, without a full stop."""
    hint: str | None = None
    """What to write instead, if that is known."""
    severity: Severity = "error"
    """`error` refuses the configuration, `warning` does not."""

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}"
            if self.column:
                place += f":{self.column}"
        path = f" {self.path}:" if self.path else ""
        severity = " warning:" if self.severity == "warning" else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}:{severity}{path} {self.sentence}{hint}"

    def as_dict(self) -> dict[str, Any]:
        """The fields under their names, for programs that read them as JSON."""
        return asdict(self)


class ReviverError(Exception):
    """The root of all exceptions that Reviver raises on purpose."""


class ConfigurationError(ReviverError):
    """A configuration that cannot be used. It has been applied nowhere, not even in part."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        """All that is wrong, in the order of the text."""
        super().__init__("\n".join(map(str, self.diagnostics)))


class OperationError(ReviverError):
    """Something that was asked for could not be done; the text is one line."""
