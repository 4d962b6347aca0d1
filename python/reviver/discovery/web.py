"""HTTP as sources need it: bounded answers, and errors on one line."""

import json
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
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return one_line((error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__)
