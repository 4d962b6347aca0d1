"""URLs as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reviver.cli import urls


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://a.example/x?b=1&a=2", "http://a.example/x?b=1&a=2"),
        ("a.example", "http://a.example/"),
        ("//a.example/x", "http://a.example/x"),
        ("a.example:8080/x", "http://a.example:8080/x"),
        ("HTTPS://A.Example:443/X#part", "https://a.example/X"),
        ("http://a.example:80", "http://a.example/"),
        ("http://a.example?", "http://a.example/?"),
        ("http://[2001:DB8::0:1]:81/", "http://[2001:db8::1]:81/"),
        ("http://bücher.example/ä?ö=%C3%BC", "http://xn--bcher-kva.example/%C3%A4?%C3%B6=%C3%BC"),
        ("http://a.example/%7Ea/../b//c", "http://a.example/%7Ea/../b//c"),
        ("127.0.0.1/x", "http://127.0.0.1/x"),
    ],
)
def test_a_url_has_one_form(text: str, url: str) -> None:
    assert urls.absolute(text) == url
    assert "".join(("{}://{}{}").format(*urls.split(url))) == url


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "there is no host"),
        ("/path", "'/path' has no host"),
        ("http:///x", "there is no host"),
        ("ftp://a.example/", "is neither http nor https"),
        ("http://a example/", "has a space or a control character"),
        ("http://a.example/\n", "has a space or a control character"),
        ("http://a.example/\udcff", "has a space or a control character"),
        ("http://me:secret@a.example/", "has a user name"),
        ("http://a.example:99999/", "there is no port 99999"),
        ("http://a.example:x/", "is not a host"),
        ("http://[::g]/", "is not a host"),
        ("http://[1::2::3]/", "is not an IPv6 address"),
        ("http://a..example/", "is not a host"),
        ("http://*.example/", "is not a host"),
        ("mailto:me", "is not a host"),
    ],
)
def test_what_is_no_url_is_told(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as raised:
        urls.absolute(text)
    assert sentence in str(raised.value)


@given(text=st.text(max_size=30) | st.text(alphabet="htps:/[]@?#.%a1é*", max_size=30))
def test_any_text_is_a_url_or_one_sentence(text: str) -> None:
    try:
        url = urls.absolute(text)
    except ValueError:
        return
    assert url.isascii() and url.isprintable() and " " not in url
    assert urls.absolute(url) == url
