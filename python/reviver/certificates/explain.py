"""Turns what the ACME library raises into one line for a person, with the time to try again."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from acme import errors, messages
from josepy.errors import Error as JoseError

from reviver.certificates.issuing import IssueError

LONGEST_RETRY = timedelta(days=7)


class RetryAfter:
    """Remembers what the last refusal asked for; the library's errors do not tell."""

    def __init__(self) -> None:
        self._seconds: float | None = None

    def follow(self, session: requests.Session) -> None:
        """Looks at each response of a session."""
        session.hooks["response"].append(self._note)

    def _note(self, response: requests.Response, *_: Any, **__: Any) -> None:
        self._seconds = None if response.ok else self.seconds(response)

    @property
    def time(self) -> datetime | None:
        """When to ask again."""
        if self._seconds is None:
            return None
        return datetime.now(UTC) + min(timedelta(seconds=self._seconds), LONGEST_RETRY)

    @staticmethod
    def seconds(response: requests.Response) -> float | None:
        """The field's value, a number or a date (RFC 9110, section 10.2.3); None where it says nothing."""
        value = response.headers.get("Retry-After", "").strip()
        if value.isdecimal() and len(value) < 10:
            return float(value)
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            return None
        return max(0.0, (at.astimezone(UTC) - datetime.now(UTC)).total_seconds())


@contextlib.contextmanager
def explained() -> Iterator[RetryAfter]:
    """Errors of the library, of requests and of what they carry come out as IssueError."""
    retry = RetryAfter()
    try:
        yield retry
    except errors.ARIError as error:
        raise IssueError(explain(error.__cause__ or error), error.retry_after.astimezone(UTC)) from error
    except (errors.Error, JoseError, requests.RequestException, ValueError) as error:
        raise IssueError(explain(error), retry.time) from error


def explain(error: BaseException) -> str:
    """One sentence."""
    if isinstance(error, errors.ValidationError):
        return (
            "; ".join(
                f"{failed.body.identifier.value}: {challenge.chall.typ}: {_problem(challenge.error)}"
                for failed in error.failed_authzrs
                for challenge in failed.body.challenges
                if challenge.error is not None
            )
            or "the authority refuses a name without saying why"
        )
    if isinstance(error, errors.IssuanceError):
        return _problem(error.error)
    if isinstance(error, messages.Error):
        return _problem(error)
    if isinstance(error, errors.ClientError) and error.args and isinstance(error.args[0], requests.Response):
        response = error.args[0]
        return f"{response.url} answers {response.status_code}, and not as an ACME directory does"
    if isinstance(error, requests.RequestException):
        url = getattr(error.request, "url", None) or "the directory"
        return f"{url}: {_deepest(error)}"
    return f"the authority's answer cannot be understood: {error or type(error).__name__}"


def _problem(error: messages.Error) -> str:
    """A problem document (RFC 8555, section 6.7), with its subproblems."""
    text = f"{error.code or error.typ}: {error.detail or error.title or error.description or 'no reason is given'}"
    parts = [
        f"{part.identifier.value if part.identifier else part.code}: {part.detail}" for part in error.subproblems or ()
    ]
    return "; ".join([text.rstrip("."), *parts])


def _deepest(error: BaseException) -> str:
    """What the system said, out of the layers that libraries put around it."""
    said = str(error)
    seen: set[int] = set()
    current: Any = error
    while isinstance(current, BaseException) and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, OSError) and not isinstance(current, requests.RequestException):
            said = getattr(current, "verify_message", None) or current.strerror or str(current)
        wrapped = getattr(current, "reason", None)
        if not isinstance(wrapped, BaseException):
            wrapped = next((item for item in current.args if isinstance(item, BaseException)), None)
        current = wrapped or current.__cause__ or current.__context__
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return said
