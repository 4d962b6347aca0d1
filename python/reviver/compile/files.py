"""Reading the files that a configuration names, and collecting what is wrong with them."""

from pathlib import Path

from reviver.config import KeyPath, Loaded, path_text
from reviver.errors import Diagnostic, Severity

__all__ = ["Files"]


class Files:
    """What was read for one configuration so far. Diagnostics stand where a file is named, and name it."""

    def __init__(self, loaded: Loaded) -> None:
        self.read: list[Path] = []
        """Absolute paths, whether they could be read or not."""
        self.errors: list[Diagnostic] = []
        self.warnings: list[Diagnostic] = []
        self.advice: list[Diagnostic] = []
        self._loaded = loaded

    def path(self, name: str) -> Path:
        """Absolute path of a file as it is named."""
        return self._loaded.base / name

    def refuse(self, key: KeyPath, sentence: str, hint: str | None = None) -> None:
        """Without this the configuration cannot be run."""
        self.errors.append(self._diagnostic(key, sentence, hint, "error"))

    def warn(self, key: KeyPath, sentence: str, hint: str | None = None) -> None:
        """This does not keep the proxy from running, though clients would refuse what it serves."""
        self.warnings.append(self._diagnostic(key, sentence, hint, "warning"))

    def advise(self, key: KeyPath, sentence: str, hint: str | None = None) -> None:
        """This works, for some clients or for some time."""
        self.advice.append(self._diagnostic(key, sentence, hint, "warning"))

    def bytes(self, key: KeyPath, name: str, most: int, hint: str | None = None) -> bytes | None:
        """Content of the file that is named at `key`, or None with an error. `hint` is for one that is missing."""
        path = self.path(name)
        self.read.append(path)
        try:
            with path.open("rb") as file:
                raw = file.read(most + 1)
        except FileNotFoundError:
            self.refuse(key, f"{path} does not exist", hint)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self.refuse(key, f"{path} cannot be read: {reason}")
        else:
            if len(raw) <= most:
                return raw
            self.refuse(key, f"{path} is larger than {most // 2**20} MiB")
        return None

    def _diagnostic(self, key: KeyPath, sentence: str, hint: str | None, severity: Severity) -> Diagnostic:
        positions = self._loaded.positions
        return Diagnostic(positions.file, *positions.mark(key), path_text(key), sentence, hint, severity)
