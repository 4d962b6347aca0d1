"""The forward half: who may use it, for what, and what origins learn."""

from reviver.compile import plan
from reviver.compile.cache import compile_policy
from reviver.compile.inputs import Inputs
from reviver.config import KeyPath, Loaded
from reviver.config.checks import is_loopback
from reviver.config.models import Anonymity, Auth, Forward

__all__ = ["NEUTRAL_USER_AGENT", "compile_forward"]

NEUTRAL_USER_AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
"""What the level `high` sends for every client: one of the most common browsers, a release with long support."""


def compile_forward(forward: Forward, inputs: Inputs, loaded: Loaded) -> plan.Forward:
    """The forward section, complete."""

    def place(*path: str) -> str:
        key: KeyPath = ("forward", *path)
        return loaded.positions.place(key)

    private = forward.private_destinations or ("allow" if _all_loopback(loaded) else "deny")
    return {
        "at": place(),
        "auth": _auth(forward.auth, inputs, place("auth")),
        "clients": list(forward.clients),
        "clients_at": place("clients"),
        "connect_ports": [(first, last) for first, last in forward.connect_ports],
        "connect_ports_at": place("connect_ports"),
        "private_destinations": private,
        "private_destinations_at": place("private_destinations"),
        "anonymity": _anonymity(forward.anonymity, place("anonymity")),
        "max_idle": forward.keep_alive.max,
        "idle_ms": int(forward.keep_alive.idle),
        "cache": None if forward.cache is None else compile_policy(forward.cache, ("forward", "cache"), loaded),
    }


def _all_loopback(loaded: Loaded) -> bool:
    """Whether only the machine's own users can reach the proxy: they reach its private addresses anyway."""
    listeners = [listener for listener in loaded.config.listeners.values() if listener.role == "forward"]
    return bool(listeners) and all(is_loopback(bind) for listener in listeners for bind in listener.bind)


def _auth(auth: Auth | None, inputs: Inputs, at: str) -> plan.BasicAuth | None:
    if auth is None:
        return None
    return {"at": at, "realm": auth.realm, "users": dict(inputs.users)}


def _anonymity(anonymity: Anonymity, at: str) -> plan.Anonymity:
    high = anonymity.level == "high"
    return {
        "at": at,
        "level": anonymity.level,
        "user_agent": _policy(anonymity.user_agent or (NEUTRAL_USER_AGENT if high else "keep")),
        "referer": _policy(anonymity.referer or ("same_host" if high else "keep"), same_host=True),
        "cookies": _policy(anonymity.cookies or "keep"),
    }


def _policy(text: str, *, same_host: bool = False) -> plan.FieldPolicy:
    if text == "keep":
        return "keep"
    if text == "remove":
        return "remove"
    return "same_host" if same_host and text == "same_host" else {"replace": text}
