"""The event loop's side of certificates: taking over changed files, and what commands ask."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reviver.certificates.rows import rows
from reviver.control import protocol
from reviver.control.files import signature
from reviver.control.proxy import OutOfDateError, Proxy
from reviver.control.server import Progress
from reviver.control.watch import Together, stirrings
from reviver.errors import ConfigurationError, OperationError, ReviverError

PROGRESS_EVERY = 1.0


class Certificates:
    """Of one running proxy."""

    def __init__(self, proxy: Proxy, report: Callable[[str], None]) -> None:
        self._proxy = proxy
        self._report = report
        self._together = Together(lambda: proxy.compiled.certificate_files, self._take, self._refused)
        self._refusal: Exception | None = None
        """Why the files were not taken over the last time."""
        self._again: datetime | None = None
        """When they may be, though they do not change: a certificate becomes valid."""

    # ---- files

    async def follow(self, ending: asyncio.Event) -> None:
        """Takes over certificates, keys and authorities whenever their files change.

        Connections that are open keep the certificate that they were opened with.
        """
        stored = signature(self._stored())
        async for _ in stirrings(lambda: {*self._proxy.compiled.certificate_files, *self._stored()}, ending):
            if self._again is not None and self._again <= datetime.now(UTC):
                self._again = None
                self._together.forget()
            await self._together.look(ending)
            before, stored = stored, signature(self._stored())
            if stored != before:
                # most often it was this proxy; another one that shares the storage may have renewed
                self._proxy.certificates.look()

    def _stored(self) -> frozenset[Path]:
        return self._proxy.certificates.current.files

    async def _take(self) -> Exception | None:
        try:
            done = await asyncio.to_thread(self._proxy.reread)
        except ReviverError as error:
            return error
        for note in done.notes:
            self._report(note)
        if done.changed:
            self._report(f"certificates have changed and are taken over: epoch {done.epoch}")
        return None

    def _refused(self, error: Exception) -> None:
        self._refusal = error
        self._again = error.again if isinstance(error, OutOfDateError) else None
        reasons = list(map(str, error.diagnostics)) if isinstance(error, ConfigurationError) else [str(error)]
        for reason in reasons:
            self._report(reason)
        self._report("certificates have changed and cannot be used; the old ones stay")

    # ---- commands

    async def shown(self, _: Mapping[str, Any], __: Progress) -> dict[str, Any]:
        """Every certificate of the configuration in force, and how those fare that are kept here."""
        return {"certificates": await asyncio.to_thread(self._rows)}

    def _rows(self) -> list[dict[str, Any]]:
        refusal = self._refusal if self._together.refused else None
        return rows(self._proxy.compiled.plan, self._proxy.certificates.current, datetime.now(UTC), refusal)

    async def renewed(self, message: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        """Obtains automatic certificates anew, and answers when that is done."""
        wishes = [asyncio.wrap_future(wish) for wish in self._proxy.certificates.renew(protocol.name_of(message))]
        waited = 0.0
        while (await asyncio.wait(wishes, timeout=PROGRESS_EVERY))[1]:
            waited += PROGRESS_EVERY
            await progress({"seconds": waited})
        failures = [str(error) for wish in wishes if (error := wish.exception()) is not None]
        if failures:
            raise OperationError("; ".join(failures))
        return {"renewed": [wish.result() for wish in wishes]}
