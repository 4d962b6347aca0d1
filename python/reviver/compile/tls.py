"""TLS of listeners and pools, with the certificates that were gathered."""

from reviver.compile import plan
from reviver.compile.inputs import Inputs
from reviver.config import KeyPath, Loaded
from reviver.config.models import ListenerTls, UpstreamTls

__all__ = ["compile_listener_tls", "compile_upstream_tls"]


def compile_listener_tls(name: str, tls: ListenerTls | None, loaded: Loaded, inputs: Inputs) -> plan.ListenerTls | None:
    """TLS of the listener of that name."""
    if tls is None:
        return None
    path: KeyPath = ("listeners", name, "tls")

    def place(*step: str | int) -> str:
        return loaded.positions.place((*path, *step))

    given = [_given((*path, "certificates", index), loaded, inputs) for index in range(len(tls.certificates))]
    certificates = [item for item in given if item is not None]
    certificates += [
        {"at": place("automatic"), "name": title, "chain": chain, "key": key}
        for title, chain, key in inputs.automatic.get(name, ())
    ]
    internal: plan.Certificate | None = None
    if tls.internal and name in inputs.internal:
        chain, key = inputs.internal[name]
        internal = {"at": place("internal"), "name": "internal", "chain": chain, "key": key}
    client: plan.ClientAuthority | None = None
    if tls.client_ca is not None:
        roots = inputs.authorities.get((*path, "client_ca"), "")
        client = {"at": place("client_ca"), "roots": roots, "required": tls.client_certificate != "optional"}
    return {
        "at": place(),
        "certificates": certificates,
        "internal": internal,
        "min_version": tls.min_version,
        "client": client,
    }


def compile_upstream_tls(name: str, tls: UpstreamTls | None, loaded: Loaded, inputs: Inputs) -> plan.UpstreamTls | None:
    """TLS towards the servers of the pool of that name."""
    if tls is None:
        return None
    path: KeyPath = ("reverse", "pools", name, "tls")
    return {
        "at": loaded.positions.place(path),
        "roots": None if tls.ca is None else inputs.authorities.get((*path, "ca"), ""),
        "server_name": tls.server_name,
        "certificate": _given(path, loaded, inputs),
        "insecure": tls.insecure,
        "min_version": tls.min_version,
    }


def _given(path: KeyPath, loaded: Loaded, inputs: Inputs) -> plan.Certificate | None:
    """The certificate whose files the table at `path` names."""
    pair = inputs.certificates.get(path)
    if pair is None:
        return None
    return {"at": loaded.positions.place(path), "name": pair.name, "chain": pair.chain, "key": pair.key}
