"""HTTP as sources need it: bounded answers, and errors on one line."""

import errno
import json
import os
import ssl
from typing import TYPE_CHECKING, Any

from reviver import __version__
from reviver.discovery.answers import SourceError
from reviver.discovery.servers import one_line

if TYPE_CHECKING:
    import httpx

__all__ = ["AGENT", "content", "json_of", "reason"]

AGENT = f"reviver/{__version__}"
MOST = 4 * 2**20
"""The longest content that is read, in bytes."""


async def content(response: "httpx.Response", most: int = MOST) -> bytes:
    """What a response carries. Raises SourceError where it is too long."""
    parts, size = [], 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > most:
            raise SourceError(f"its answer is larger than {most // 2**20} MiB")
        parts.append(part)
    return b"".join(parts)


def json_of(text: bytes) -> Any:
    """Raises SourceError where it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        why = f": {one_line(str(error))}" if isinstance(error, json.JSONDecodeError) else ""
        raise SourceError(f"its answer is not JSON{why}") from None


def reason(error: BaseException) -> str:
    """The first cause in its own words: libraries wrap it several times."""
    while (inner := _inner(error)) is not None:
        error = inner
    said = None
    if isinstance(error, OSError):
        # the event loop has a text of its own, without the reason
        own = not isinstance(error, ssl.SSLError) and error.errno in errno.errorcode
        said = os.strerror(error.errno or 0) if own else error.strerror
    return one_line(said or str(error) or type(error).__name__)


def _inner(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        return error.exceptions[0]
    return error.__cause__ or error.__context__
