from typing import Any

import pytest

from reviver.config.covers import covers
from reviver.config.models import Match


def match(**keys: Any) -> Match:
    return Match.model_validate(keys)


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ({}, {"host": "a.example", "path": "/x"}, True),
        ({"path": "/*"}, {}, False),
        ({"path": "/*"}, {"path": "~^/x"}, True),
        ({"path": "/a/*"}, {"path": "/a/b"}, True),
        ({"path": "/a/*"}, {"path": "/a"}, False),
        ({"path": "/a/*"}, {"path": "/a/b/*"}, True),
        ({"path": "/a/b/*"}, {"path": "/a/*"}, False),
        ({"path": "/a"}, {"path": ["/a", "/b"]}, False),
        ({"path": ["/a", "/b"]}, {"path": "/b"}, True),
        ({"path": "~^/a"}, {"path": "/a"}, False),
        ({"path": "~^/a"}, {"path": "~^/a"}, True),
        ({"host": "*.example.com"}, {"host": "a.example.com"}, True),
        ({"host": "*.example.com"}, {"host": "example.com"}, False),
        ({"host": "*.example.com"}, {"host": "badexample.com"}, False),
        ({"host": "*.example.com"}, {"host": "*.a.example.com"}, True),
        ({"host": "a.example.com"}, {"host": "*.example.com"}, False),
        ({"method": ["GET", "HEAD"]}, {"method": "GET"}, True),
        ({"method": "GET"}, {}, False),
        ({"header": {"x": "*"}}, {"header": {"x": "1", "y": "2"}}, True),
        ({"header": {"x": "1"}}, {"header": {"x": "2"}}, False),
        ({"client": "10.0.0.0/8"}, {"client": "10.1.0.0/16"}, True),
        ({"client": "10.0.0.0/8"}, {"client": "::1"}, False),
        ({"client_certificate": True}, {"client_certificate": {"subject": "CN=a"}}, True),
        ({"client_certificate": {"subject": "CN=a"}}, {"client_certificate": True}, False),
        ({"client_certificate": True}, {}, False),
        ({}, {"client_certificate": True}, True),
        ({"client_certificate": {"subject": ["CN=a", "CN=b"]}}, {"client_certificate": {"subject": "CN=b"}}, True),
        ({"client_certificate": {"fingerprint": "aa" * 32}}, {"client_certificate": {"fingerprint": "AA" * 32}}, True),
        ({"client_certificate": {"fingerprint": "aa" * 32}}, {"client_certificate": {"fingerprint": "bb" * 32}}, False),
        ({"client": "::/0"}, {"client": "10.0.0.0/8"}, False),
    ],
)
def test_covers(wide: dict[str, Any], narrow: dict[str, Any], expected: bool) -> None:
    assert covers(match(**wide), match(**narrow)) is expected


def test_a_field_name_is_compared_without_case() -> None:
    assert covers(match(header={"X-Beta": "1"}), match(header={"x-beta": "1"}))
