"""The health service of gRPC (`grpc.health.v1.Health/Check`): a handler for `Http2Origin`."""

from tests.support.http2_origin import Exchange

PATH = "/grpc.health.v1.Health/Check"
SERVING, NOT_SERVING = 1, 2
NOT_FOUND, UNIMPLEMENTED = 5, 12


class HealthService:
    """Answers by what is known of each service; the server as a whole is the empty name."""

    def __init__(self, status: int = SERVING, **services: int) -> None:
        self.services: dict[str, int] = {"": status, **services}
        #: Names that were asked for.
        self.asked: list[str] = []
        #: A status of gRPC that is not OK: the whole answer.
        self.failure: int | None = None

    def __call__(self, exchange: Exchange) -> None:
        fields = exchange.request.fields
        assert exchange.request.method == "POST"
        assert (fields.get("content-type") or "").startswith("application/grpc"), fields
        assert fields.get("te") == "trailers", "gRPC over HTTP/2: requests carry `te: trailers`"
        name = _service(exchange.read_body())
        self.asked.append(name)
        failure = self.failure if self.failure is not None else (None if name in self.services else NOT_FOUND)
        content = ("content-type", "application/grpc")
        if failure is not None:  # "Trailers-Only"
            exchange.head(200, content, ("grpc-status", str(failure)), end=True)
            return
        message = bytes([0x08, self.services[name]])
        exchange.head(200, content)
        exchange.send(b"\x00" + len(message).to_bytes(4, "big") + message)
        exchange.trailers(("grpc-status", "0"))


def _service(body: bytes) -> str:
    """The name in a HealthCheckRequest: field 1, a string that is left out where it is empty."""
    assert body[:1] == b"\x00", f"compressed, or no message: {body!r}"
    length = int.from_bytes(body[1:5], "big")
    message = body[5:]
    assert len(message) == length, f"a message of {length} bytes: {body!r}"
    if not message:
        return ""
    assert message[0] == 0x0A, f"not field 1, a string: {message!r}"
    assert message[1] == len(message) - 2, message
    return message[2:].decode()
