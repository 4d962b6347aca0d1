"""Listeners, with the limits and timeouts that hold on each."""

from reviver.compile import plan
from reviver.compile.inputs import Inputs
from reviver.compile.tls import compile_listener_tls
from reviver.config import Config, Loaded
from reviver.config.models import BindAddress, Hsts, Limits, Listener, Timeouts

__all__ = ["compile_listeners"]


def compile_listeners(loaded: Loaded, inputs: Inputs) -> list[plan.Listener]:
    """The listeners in the order in which they were written."""
    return [_listener(name, listener, loaded, inputs) for name, listener in loaded.config.listeners.items()]


def _listener(name: str, listener: Listener, loaded: Loaded, inputs: Inputs) -> plan.Listener:
    limits, timeouts = _limits(loaded.config, listener), _timeouts(loaded.config, listener)
    return {
        "name": name,
        "at": loaded.positions.place(("listeners", name)),
        "bind": [_bind(address) for address in listener.bind],
        "role": listener.role,
        "backlog": listener.backlog,
        "tls": compile_listener_tls(name, listener.tls, loaded, inputs),
        "http2": listener.http2,
        "proxy_protocol": listener.proxy_protocol,
        "redirect_https": _https_port(listener, loaded.config),
        "hsts": _hsts(listener.hsts),
        "limits": {
            "head": int(limits.head),
            "fields": limits.fields,
            "target": int(limits.target),
            "body": int(limits.body),
            "connections": limits.connections,
            "connections_per_client": limits.connections_per_client or 0,
            "requests_per_connection": limits.requests_per_connection,
            "streams": limits.streams,
            "stream_window": int(limits.stream_window),
            "stream_resets": limits.stream_resets,
            "stream_errors": limits.stream_errors,
            "control_frames": limits.control_frames,
            "continuations": limits.continuations,
            "stalls": limits.stalls,
        },
        "timeouts": {
            "head_ms": int(timeouts.head),
            "body_ms": int(timeouts.body),
            "keep_alive_ms": int(timeouts.keep_alive),
            "connect_ms": int(timeouts.connect),
            "first_byte_ms": int(timeouts.first_byte),
            "idle_ms": int(timeouts.idle),
            "tunnel_ms": int(timeouts.tunnel),
            "handshake_ms": int(timeouts.handshake),
        },
    }


def _bind(address: BindAddress) -> str:
    if address.host in ("", "localhost"):
        return f"{'127.0.0.1' if address.host else '0.0.0.0'}:{address.port}"
    return str(address)


def _https_port(listener: Listener, config: Config) -> int | None:
    port = listener.redirect_https
    if port is True:
        secure = (item for item in config.listeners.values() if item.tls is not None and item.role == "reverse")
        return next((item.bind[0].port for item in secure), 443)
    return port or None


def _hsts(hsts: Hsts | None) -> str | None:
    """Value of the field (RFC 6797, section 6.1); `preload` is what browsers' lists ask for."""
    if hsts is None:
        return None
    directives = [f"max-age={hsts.max_age // 1000}"]
    directives += ["includeSubDomains"] if hsts.include_subdomains else []
    directives += ["preload"] if hsts.preload else []
    return "; ".join(directives)


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
