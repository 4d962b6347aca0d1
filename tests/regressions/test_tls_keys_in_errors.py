"""What is said of a private key that cannot be used holds nothing of the key, in no notation."""

import pytest

from tests.support.proxy import Config, Proxy, listens, reverse
from tests.support.tls import site
from tests.support.wait import until


def config(where: str) -> Config:
    own = {"certificate": str(site().certificate), "key": "own.key"}
    if where == "listener":
        routes = [{"name": "all", "match": {"path": "/*"}, "respond": {"status": 204}}]
        return reverse(routes=routes, listener={"tls": {"certificates": [own]}})
    return reverse(["127.0.0.1:1"], pool={"tls": {"insecure": True, **own}})


@pytest.mark.parametrize("where", ["listener", "pool"])
def test_a_key_whose_lines_were_joined(where: str) -> None:
    """As environment variables and templates join them: one library reads that as a key, the other does not."""
    key = site().key.read_text()
    proxy = Proxy(config(where), files={"own.key": key.strip().replace("\n", " ")}, wait=False)
    try:
        until(lambda: proxy.process.poll() is not None or listens(proxy.port), "its start or its end")
        said = proxy.stderr + proxy.stdout
    finally:
        proxy.kill()
    secret = key.splitlines()[1][20:50]
    for notation in (secret, ", ".join(str(byte) for byte in secret.encode()), secret.encode().hex()):
        assert notation not in said, "the key is told"
