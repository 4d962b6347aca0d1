"""JSON by POST to programs of others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reviver.errors import OperationError

SHOWN = 200
"""Bytes of an answer that are read."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    said: str
    """Status, phrase and the beginning of the content, on one line."""

    @property
    def good(self) -> bool:
        """Whether it is a 2xx."""
        return 200 <= self.status < 300


def post(url: str, body: Mapping[str, Any], timeout: float) -> Reply:
    """Sends it once; `timeout` in seconds is for each part of that. Blocks. Raises OperationError."""
    import requests

    try:
        # a redirect is not followed: it is neither a yes nor what was asked
        with requests.post(url, json=body, timeout=timeout, allow_redirects=False, stream=True) as response:
            text = response.raw.read(SHOWN, decode_content=True).decode(errors="replace")
            said = " ".join(f"{response.status_code} {response.reason}: {text}".split()).rstrip(" :")
            return Reply(response.status_code, said)
    except requests.Timeout as error:
        raise OperationError(f"no answer within {timeout:g} s") from error
    except Exception as error:
        # requests, urllib3 and idna have no class of errors in common
        raise OperationError(_reason(error)) from error


def _reason(error: BaseException) -> str:
    """The first cause in its own words: libraries wrap it several times."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
