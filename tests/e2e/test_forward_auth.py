"""Proxy authentication (RFC 9110, section 11.7; RFC 7617) from an htpasswd file."""

import base64
from collections.abc import Iterator

import pytest

from tests.support.client import Client, absolute, connect
from tests.support.origin import Origin
from tests.support.proxy import Proxy, forward
from tests.support.wait import Together

#: All of them are `open sesame`.
USERS = """\
# the office
bcrypt:$2y$04$5ZCyPN4mYlVdY8FndN6AhugSiT7d9vrL7ejTO8JycGJL.fToNbo0G
apr1:$apr1$abcdefgh$T64oOxnD8c28.dQa.2Lty1
sha:{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=
crypt6:$6$abcdefgh$CkjGkP7IIgZVUCNlt.Vi53LOYJLXZ5KzdpzEYCj01XGruA1hxZYJqccTU2zz68oJwAGsd1iPty5F7dHIatUTy/

colon:{SHA}cLzgnoJ6mP5qz3w+mwvPE2vDgu0=
"""
PASSWORD = "open sesame"
KINDS = ["bcrypt", "apr1", "sha", "crypt6"]


def basic(user: str, password: str, scheme: str = "Basic") -> tuple[str, str]:
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return ("Proxy-Authorization", f"{scheme} {token}")


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with Proxy(forward(auth={"basic": "users.htpasswd", "realm": "office"}), files={"users.htpasswd": USERS}) as proxy:
        yield proxy


@pytest.mark.parametrize("user", KINDS)
def test_every_kind_of_hash(proxy: Proxy, origin: Origin, user: str) -> None:
    url = f"http://{origin.address}/{user}"
    assert absolute(proxy.port, url, [basic(user, PASSWORD)]).status == 200
    assert absolute(proxy.port, url, [basic(user, PASSWORD)]).status == 200, "remembered"
    for wrong in ("", "open sesam", "open sesame ", "OPEN SESAME"):
        assert absolute(proxy.port, url, [basic(user, wrong)]).status == 407, wrong
    assert len(origin.seen(f"/{user}")) == 2


def test_without_credentials(proxy: Proxy, origin: Origin) -> None:
    response = absolute(proxy.port, f"http://{origin.address}/none")
    assert response.status == 407
    assert 'realm="office"' in (response.fields.get("Proxy-Authenticate") or "")
    assert (response.fields.get("Proxy-Authenticate") or "").startswith("Basic ")
    assert "error=http_request_denied" in (response.fields.get("Proxy-Status") or "")
    assert not origin.seen("/none")
    assert proxy.record("/none")["reason"] == "auth_required"


def test_a_client_answers_the_challenge_on_the_same_connection(proxy: Proxy, origin: Origin) -> None:
    url = f"http://{origin.address}/challenge"
    with Client(proxy.port) as client:
        assert client.ask("GET", url, host=origin.address).status == 407
        assert client.ask("GET", url, [basic("sha", PASSWORD)], host=origin.address).status == 200


@pytest.mark.parametrize(
    "value",
    [
        "Basic",
        "Basic !!!",
        "Basic c2hh",
        "Bearer abc",
        "",
        "Basic c2hhOm9wZW4gc2VzYW1l c2hh",
        "basicc2hhOm9wZW4gc2VzYW1l",
    ],
)
def test_malformed_credentials(proxy: Proxy, origin: Origin, value: str) -> None:
    before = len(origin.requests)
    response = absolute(proxy.port, f"http://{origin.address}/malformed", [("Proxy-Authorization", value)])
    assert response.status in (400, 407)
    assert len(origin.requests) == before


def test_two_credentials_are_not_guessed_between(proxy: Proxy, origin: Origin) -> None:
    fields = [basic("sha", PASSWORD), basic("eve", "x")]
    assert absolute(proxy.port, f"http://{origin.address}/two", fields).status in (400, 407)
    assert not origin.seen("/two")


def test_the_scheme_is_compared_without_case(proxy: Proxy, origin: Origin) -> None:
    assert absolute(proxy.port, f"http://{origin.address}/case", [basic("sha", PASSWORD, "bAsIc")]).status == 200


def test_an_unknown_user(proxy: Proxy, origin: Origin) -> None:
    assert absolute(proxy.port, f"http://{origin.address}/eve", [basic("eve", PASSWORD)]).status == 407
    assert proxy.record("/eve")["reason"] == "auth_failed"


def test_a_password_with_a_colon(proxy: Proxy, origin: Origin) -> None:
    assert absolute(proxy.port, f"http://{origin.address}/colon", [basic("colon", "a:b:c")]).status == 200


def test_nothing_leaks_upstream(proxy: Proxy, origin: Origin) -> None:
    fields = [basic("sha", PASSWORD), ("Authorization", "Basic dGhlaXI6b3du")]
    assert absolute(proxy.port, f"http://{origin.address}/leak", fields).status == 200
    seen = origin.only("/leak")
    assert "Proxy-Authorization" not in seen.fields
    assert seen.fields.get("Authorization") == "Basic dGhlaXI6b3du", "the origin's own credentials pass"
    assert b"office" not in seen.raw


def test_nothing_leaks_into_the_log(proxy: Proxy, origin: Origin) -> None:
    assert absolute(proxy.port, f"http://{origin.address}/logged", [basic("sha", PASSWORD)]).status == 200
    record = proxy.record("/logged")
    assert record["user"] == "sha"
    text = "\n".join(proxy.lines()) + proxy.stdout + proxy.stderr
    assert PASSWORD not in text
    assert base64.b64encode(b"sha:open sesame").decode() not in text


def test_connect(proxy: Proxy, origin: Origin) -> None:
    client, response = connect(proxy.port, origin.address)
    client.close()
    assert response.status == 407
    assert "Proxy-Authenticate" in response.fields
    client, response = connect(proxy.port, origin.address, [basic("bcrypt", PASSWORD)])
    with client:
        assert response.status == 200
        assert client.ask("GET", "/in-tunnel").status == 200
    assert "Proxy-Authorization" not in origin.only("/in-tunnel").fields


def test_credentials_do_not_stay_with_the_connection(proxy: Proxy, origin: Origin) -> None:
    """Basic is per request: a connection that a gateway shares must not lend one user's name to another."""
    url = f"http://{origin.address}/per-request"
    with Client(proxy.port) as client:
        assert client.ask("GET", url, [basic("sha", PASSWORD)], host=origin.address).status == 200
        assert client.ask("GET", url, host=origin.address).status == 407


def test_many_at_once_with_slow_hashes(proxy: Proxy, origin: Origin) -> None:
    def one(index: int) -> None:
        user, password = (KINDS[index % 4], PASSWORD) if index % 3 else ("bcrypt", f"wrong{index}")
        expected = 200 if index % 3 else 407
        for _ in range(5):
            assert absolute(proxy.port, f"http://{origin.address}/crowd", [basic(user, password)]).status == expected

    Together(one, 24).join()


def test_a_reload_forgets_who_is_gone(origin: Origin) -> None:
    with Proxy(forward(auth={"basic": "users"}), files={"users": USERS}) as proxy:
        url = f"http://{origin.address}/gone"
        assert absolute(proxy.port, url, [basic("apr1", PASSWORD)]).status == 200
        proxy.write("users", USERS.replace("apr1:", "renamed:"))
        done = proxy.reload()
        assert done.returncode == 0, done.stderr
        assert absolute(proxy.port, url, [basic("apr1", PASSWORD)]).status == 407
        assert absolute(proxy.port, url, [basic("renamed", PASSWORD)]).status == 200
