"""What is made for an authority, and what is made of its answers, without one."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, cast

import pytest
import requests
from acme import challenges, errors, messages
from cryptography import x509
from urllib3.exceptions import MaxRetryError, NewConnectionError

from reviver.certificates import alpn
from reviver.certificates.explain import RetryAfter, explain, explained
from reviver.certificates.issuing import IssueError

NOW = datetime(2026, 5, 1, tzinfo=UTC)
TOKEN = "DGyRejmCefe7v4NfDGDKfA-ZZZZZZZZZZZZZZZZZZZZ"


def test_a_tls_alpn_certificate_is_as_the_rfc_has_it() -> None:
    """RFC 8737, section 3: one name, and the hash in a critical extension."""
    chain, key = alpn.certificate("a.example", "token.thumbprint", NOW)
    certificate = x509.load_pem_x509_certificate(chain.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("a.example")]
    proof = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31"))
    assert proof.critical
    assert isinstance(proof.value, x509.UnrecognizedExtension)
    assert proof.value.value == b"\x04\x20" + hashlib.sha256(b"token.thumbprint").digest()
    assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc
    assert key.startswith("-----BEGIN PRIVATE KEY-----")


def test_the_library_knows_the_challenge() -> None:
    offered = {"type": "tls-alpn-01", "url": "https://ca.example/1", "token": TOKEN, "status": "pending"}
    challenge = messages.ChallengeBody.from_json(offered)
    assert isinstance(challenge.chall, alpn.TLSALPN01)
    assert challenge.chall.response_cls(key_authorization="x").to_json() == {}


def _problem(code: str, detail: str, **more: Any) -> messages.Error:
    fields = {"type": f"urn:ietf:params:acme:error:{code}", "detail": detail, **more}
    return cast(messages.Error, messages.Error.from_json(fields))


def _refused() -> errors.ValidationError:
    identifier = {"type": "dns", "value": "a.example"}
    tried = {
        "type": "http-01",
        "url": "u",
        "token": TOKEN,
        "status": "invalid",
        "error": _problem("dns", "none").to_json(),
    }
    body = messages.Authorization.from_json({"identifier": identifier, "status": "invalid", "challenges": [tried]})
    return errors.ValidationError([messages.AuthorizationResource(body=body, uri="u")])


def _unreachable() -> requests.ConnectionError:
    reason = NewConnectionError(None, "Failed to establish a new connection")  # type: ignore[arg-type]
    reason.__cause__ = ConnectionRefusedError(111, "Connection refused")
    request = requests.Request("GET", "https://ca.example/dir").prepare()
    return requests.ConnectionError(MaxRetryError(None, "/dir", reason), request=request)  # type: ignore[arg-type]


def _answered(status: int, **headers: str) -> requests.Response:
    response = requests.Response()
    response.status_code, response.url = status, "https://ca.example/dir"
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: _problem("rateLimited", "too many certificates."), "rateLimited: too many certificates"),
        (
            lambda: _problem(
                "rejectedIdentifier",
                "some names",
                subproblems=[
                    {
                        "type": "urn:ietf:params:acme:error:caa",
                        "detail": "forbidden",
                        "identifier": {"type": "dns", "value": "b.example"},
                    }
                ],
            ),
            "rejectedIdentifier: some names; b.example: forbidden",
        ),
        (_refused, "a.example: http-01: dns: none"),
        (lambda: errors.IssuanceError(_problem("serverInternal", "sorry")), "serverInternal: sorry"),
        (_unreachable, "https://ca.example/dir: Connection refused"),
        (lambda: requests.ReadTimeout("x", request=requests.Request("GET", "https://ca.example/dir").prepare()),
         "https://ca.example/dir: no answer in time"),
        (lambda: errors.ClientError(_answered(404)),
         "https://ca.example/dir answers 404, and not as an ACME directory does"),
        (lambda: ValueError("no JSON"), "the authority's answer cannot be understood: no JSON"),
    ],
)  # fmt: skip
def test_errors_are_one_sentence(make: Callable[[], Exception], said: str) -> None:
    assert explain(make()) == said


def test_a_refusal_carries_the_time_to_come_back() -> None:
    def refused() -> None:
        with explained() as retry:
            session = requests.Session()
            retry.follow(session)
            session.hooks["response"][-1](_answered(429, Retry_After="3600"))
            raise _problem("rateLimited", "too many")

    with pytest.raises(IssueError) as raised:
        refused()
    assert raised.value.retry_at is not None
    left = raised.value.retry_at - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(minutes=60)


def test_a_later_success_forgets_it() -> None:
    retry, session = RetryAfter(), requests.Session()
    retry.follow(session)
    for response in (_answered(503, Retry_After="10"), _answered(200, Retry_After="3")):
        session.hooks["response"][-1](response)
    assert retry.time is None


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("120", 120, 120),
        (timedelta(hours=1), 3500, 3600),
        (-timedelta(hours=1), 0, 0),
    ],
)
def test_the_time_is_seconds_or_a_date(value: str | timedelta, least: float, most: float) -> None:
    said = value if isinstance(value, str) else format_datetime(datetime.now(UTC) + value, usegmt=True)
    seconds = RetryAfter.seconds(_answered(503, Retry_After=said))
    assert seconds is not None
    assert least <= seconds <= most


@pytest.mark.parametrize("value", ["", "soon", "-1", "9" * 400, "1.5"])
def test_a_time_that_is_none_says_nothing(value: str) -> None:
    assert RetryAfter.seconds(_answered(503, Retry_After=value)) is None


def test_a_time_without_end_is_cut_to_a_week() -> None:
    retry = RetryAfter()
    session = requests.Session()
    retry.follow(session)
    session.hooks["response"][-1](_answered(429, Retry_After="999999999"))
    assert retry.time is not None
    assert retry.time - datetime.now(UTC) <= timedelta(days=7)


def test_http_01_still_belongs_to_the_library() -> None:
    assert challenges.Challenge.TYPES["http-01"] is challenges.HTTP01
