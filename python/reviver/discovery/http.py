"""Servers are told by a web service."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from reviver.config.models import Discover
from reviver.discovery.answers import Answer, Found, SourceError
from reviver.discovery.polling import Sleep, polled
from reviver.discovery.servers import one_line, read_servers
from reviver.discovery.web import AGENT, content, json_of, reason

if TYPE_CHECKING:
    import httpx

__all__ = ["Endpoint"]


class Endpoint:
    """One URL, asked at intervals; an answer that has not changed is not sent again (RFC 9110, section 13.1.2)."""

    def __init__(self, discover: Discover, sleep: Sleep = asyncio.sleep) -> None:
        assert discover.http is not None
        self._url = discover.http
        self._discover = discover
        self._sleep = sleep
        self._last: tuple[str, Found] | None = None
        """Entity tag of the last answer that was taken, and what it said."""

    async def answers(self) -> AsyncGenerator[Answer, None]:
        """Asks every so often."""
        import ssl

        import httpx

        every, timeout = self._discover.every / 1000, self._discover.timeout / 1000
        # the authorities of the system, not those that come with the library
        trust = ssl.create_default_context() if self._url.startswith("https:") else False
        headers = {"user-agent": AGENT, "accept": "application/json", **self._discover.headers}
        async with httpx.AsyncClient(verify=trust, timeout=timeout, headers=headers) as client:

            async def look() -> tuple[Found, float]:
                return await self._look(client), every

            async for answer in polled(look, timeout=timeout, least=0.0, most=every, sleep=self._sleep):
                yield answer

    async def _look(self, client: "httpx.AsyncClient") -> Found:
        """Raises SourceError."""
        import httpx

        headers = {} if self._last is None else {"if-none-match": self._last[0]}
        try:
            async with client.stream("GET", self._url, headers=headers) as response:
                if response.status_code == 304 and self._last is not None:
                    return self._last[1]
                if response.status_code != 200:
                    raise SourceError(one_line(f"it answers {response.status_code} {response.reason_phrase}").rstrip())
                told = json_of(await content(response))
                found = Found(read_servers(told, self._discover.max_connections))
        except httpx.TimeoutException:
            raise TimeoutError from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise SourceError(reason(error)) from None
        tag = response.headers.get("etag")
        self._last = None if tag is None else (tag, found)
        return found
