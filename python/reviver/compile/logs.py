"""Access logs."""

import os

from reviver.compile import plan
from reviver.config import Loaded
from reviver.config.models import LogSink

__all__ = ["compile_logs"]


def compile_logs(loaded: Loaded) -> list[plan.LogSink]:
    """The log sinks in order."""
    return [_sink(index, sink, loaded) for index, sink in enumerate(loaded.config.logs)]


def _sink(index: int, sink: LogSink, loaded: Loaded) -> plan.LogSink:
    return {
        "at": loaded.positions.place(("logs", index)),
        "to": _target(sink, loaded),
        "format": _format(sink.format),
        "on_full": sink.on_full,
        "redact": sorted({name.lower() for name in sink.redact}),
        "request_headers": [name.lower() for name in sink.headers.request],
        "response_headers": [name.lower() for name in sink.headers.response],
    }


def _target(sink: LogSink, loaded: Loaded) -> plan.LogTarget:
    kind, _, rest = sink.to.partition(":")
    match kind:
        case "stderr":
            return "stderr"
        case "file":
            return {"file": _file(rest, sink, loaded)}
        case "syslog":
            return {"syslog": {"udp": rest}}
        case "syslog+tcp":
            return {"syslog": {"tcp": rest}}
        case "syslog+unix":
            return {"syslog": {"unix": _absolute(rest, loaded)}}
        case _:
            return "stdout"


def _file(path: str, sink: LogSink, loaded: Loaded) -> plan.LogFile:
    rotate = sink.rotate
    return {
        "path": _absolute(path, loaded),
        "rotate_size": int(rotate.size) if rotate and rotate.size else 0,
        "rotate_every_ms": int(rotate.every) if rotate and rotate.every else 0,
        "keep": rotate.keep if rotate else 0,
    }


def _absolute(path: str, loaded: Loaded) -> str:
    return os.path.normpath(loaded.base / path)


def _format(text: str) -> plan.LogFormat:
    match text:
        case "json" | "combined" | "common" | "squid":
            return text
        case _:
            return {"template": text}
