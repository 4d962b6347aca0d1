"""Wrong passwords must not lock out those who know theirs."""

import base64

import bcrypt
import pytest

from tests.support.client import Client, absolute
from tests.support.origin import Origin
from tests.support.proxy import Proxy, forward

#: Slow, as passwords are hashed by default.
USERS = "good:" + bcrypt.hashpw(b"right", bcrypt.gensalt(12)).decode() + "\n"


def basic(user: str, password: str) -> tuple[str, str]:
    return ("Proxy-Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())


@pytest.mark.parametrize("user", ["good", "unknown"])
def test_guesses_whose_clients_have_gone_are_not_checked(user: str) -> None:
    """Else a few hundred connections, each closed at once, keep every login waiting for minutes."""
    auth = {"basic": "users.htpasswd", "realm": "office"}
    with Origin() as origin, Proxy(forward(auth=auth, top={"workers": 1}), files={"users.htpasswd": USERS}) as proxy:
        for number in range(400):
            with Client(proxy.port) as client:
                client.request("GET", f"http://{origin.address}/", [basic(user, f"guess {number}")])
        try:
            assert absolute(proxy.port, f"http://{origin.address}/in", [basic("good", "right")]).status == 200
        finally:
            if not origin.seen("/in"):
                proxy.process.kill()  # it would check all guesses before it ends
