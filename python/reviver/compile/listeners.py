"""Listeners, with the limits and timeouts that hold on each."""

from reviver.compile import plan
from reviver.config import Config, Loaded
from reviver.config.models import BindAddress, Limits, Listener, Timeouts

__all__ = ["compile_listeners"]


def compile_listeners(loaded: Loaded) -> list[plan.Listener]:
    """The listeners in the order in which they were written."""
    return [_listener(name, listener, loaded) for name, listener in loaded.config.listeners.items()]


def _listener(name: str, listener: Listener, loaded: Loaded) -> plan.Listener:
    limits, timeouts = _limits(loaded.config, listener), _timeouts(loaded.config, listener)
    return {
        "name": name,
        "at": loaded.positions.place(("listeners", name)),
        "bind": [_bind(address) for address in listener.bind],
        "role": listener.role,
        "backlog": listener.backlog,
        "limits": {
            "head": int(limits.head),
            "fields": limits.fields,
            "target": int(limits.target),
            "body": int(limits.body),
            "connections": limits.connections,
            "requests_per_connection": limits.requests_per_connection,
        },
        "timeouts": {
            "head_ms": int(timeouts.head),
            "body_ms": int(timeouts.body),
            "keep_alive_ms": int(timeouts.keep_alive),
            "connect_ms": int(timeouts.connect),
            "first_byte_ms": int(timeouts.first_byte),
            "idle_ms": int(timeouts.idle),
            "tunnel_ms": int(timeouts.tunnel),
        },
    }


def _bind(address: BindAddress) -> str:
    if address.host in ("", "localhost"):
        return f"{'127.0.0.1' if address.host else '0.0.0.0'}:{address.port}"
    return str(address)


def _limits(config: Config, listener: Listener) -> Limits:
    own = listener.limits
    if own is None:
        return config.limits
    return config.limits.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})


def _timeouts(config: Config, listener: Listener) -> Timeouts:
    own = listener.timeout
    if own is None:
        return config.timeout
    return config.timeout.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})
