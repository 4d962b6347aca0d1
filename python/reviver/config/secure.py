"""What holds between the keys of TLS, HTTP/2 and the PROXY protocol, of listeners, routes and pools."""

from collections.abc import Callable, Iterator

from reviver.config.caching import cache_matches
from reviver.config.findings import Finding
from reviver.config.models import Config, Listener, ListenerTls, Match, Pool
from reviver.config.names import automatic_domains
from reviver.config.positions import KeyPath
from reviver.config.values import Duration

__all__ = ["check_secure"]

_PRELOAD_AGE = Duration.read("365d")

Written = Callable[[KeyPath], bool]


def check_secure(config: Config, written: Written) -> Iterator[Finding]:
    """Everything that is wrong between these keys."""
    for name, listener in config.listeners.items():
        path: KeyPath = ("listeners", name)
        secure = written((*path, "tls"))
        yield from _listener(config, listener, path, secure, written)
        if listener.tls is not None:
            yield from _certificates(listener.tls, (*path, "tls"), written)
            yield from _automatic(config, listener, listener.tls, (*path, "tls", "automatic"), written)
    yield from _client_certificates(config, written)
    if config.reverse is not None:
        for name, pool in config.reverse.pools.items():
            yield from _pool(name, pool, ("reverse", "pools", name), written)


def _listener(config: Config, listener: Listener, path: KeyPath, secure: bool, written: Written) -> Iterator[Finding]:
    if listener.proxy_protocol and not config.trusted_proxies and not written(("trusted_proxies", 0)):
        yield Finding(
            (*path, "proxy_protocol"),
            "nobody is trusted to name a client",
            "list the balancers before this proxy in trusted_proxies",
        )
    for key, wanted in (("redirect_https", listener.redirect_https), ("hsts", listener.hsts)):
        if wanted and listener.role != "reverse" and written((*path, "role")):
            yield Finding((*path, key), "is for reverse listeners", "leave it out", at_key=True)
    if listener.role != "reverse":
        return
    if listener.redirect_https and secure:
        yield Finding((*path, "redirect_https"), "this listener speaks https already", "write it where there is no tls")
    elif listener.redirect_https is not True and any(bind.port == listener.redirect_https for bind in listener.bind):
        yield Finding((*path, "redirect_https"), "is this listener's own port", "give the port of one with tls")
    if listener.hsts is not None:
        if not secure:
            yield Finding(
                (*path, "hsts"),
                "browsers heed it over https only, and this listener has no tls",
                "write it on the listener with tls",
                at_key=True,
            )
        if listener.hsts.preload and (listener.hsts.max_age < _PRELOAD_AGE or not listener.hsts.include_subdomains):
            yield Finding(
                (*path, "hsts", "preload"),
                "browsers take no host into their list by this",
                "they ask for include_subdomains and a max_age of 365d or more",
                "warning",
            )


def _certificates(tls: ListenerTls, path: KeyPath, written: Written) -> Iterator[Finding]:
    sources = [key for key in ("automatic", "internal") if written((*path, key))]
    # `internal: false` is as if it was not there
    sources = [key for key in sources if key != "internal" or tls.internal]
    if len(sources) == 2:
        yield Finding(path, "has automatic and internal, where one is needed", "internal is for development")
    # what was cut out is told of already; an empty list was not
    given = written((*path, "certificates", 0)) or (
        written((*path, "certificates")) and "certificates" not in tls.model_fields_set
    )
    if not sources and not tls.certificates and not given:
        yield Finding(path, "has no certificates", "give one of certificates, automatic, internal", at_key=True)
    if tls.client_certificate is not None and not written((*path, "client_ca")):
        yield Finding((*path, "client_certificate"), "says not which certificates are accepted", "give client_ca too")


def _automatic(
    config: Config, listener: Listener, tls: ListenerTls, path: KeyPath, written: Written
) -> Iterator[Finding]:
    if tls.automatic is None:
        return
    if listener.role == "forward" and not written((*path, "domains")):
        yield Finding(path, "a forward listener has no routes to take names from", "give domains", at_key=True)
    elif not automatic_domains(config, tls) and not written((*path, "domains")):
        yield Finding(
            path,
            "there is no name to get a certificate for: no route matches one exact host",
            "give domains",
            at_key=True,
        )
    plain = any(item.role == "reverse" and item.tls is None for item in config.listeners.values())
    if "tls-alpn-01" not in tls.automatic.challenges and not plain:
        yield Finding(
            (*path, "challenges"),
            "http-01 is answered by reverse listeners without tls, and there is none",
            'add one, such as {bind: ":80", role: reverse, redirect_https: true}',
        )


def _client_certificates(config: Config, written: Written) -> Iterator[Finding]:
    asking = {
        listener.role for name, listener in config.listeners.items() if written(("listeners", name, "tls", "client_ca"))
    }
    routes = config.reverse.routes if config.reverse is not None else ()
    matches: list[tuple[KeyPath, Match]] = [
        *((("reverse", "routes", index, "match"), route.match) for index, route in enumerate(routes)),
        *cache_matches(config),
    ]
    for path, match in matches:
        if match.client_certificate is not None and path[0] not in asking:
            yield Finding(
                (*path, "client_certificate"),
                "no listener asks clients for a certificate",
                f"give a {path[0]} listener tls: {{client_ca: FILE}}",
            )


def _pool(name: str, pool: Pool, path: KeyPath, written: Written) -> Iterator[Finding]:
    if pool.proxy_protocol is not None and pool.protocol == "h2":
        yield Finding(
            (*path, "proxy_protocol"),
            "names one client a connection, and those of protocol h2 are shared by many",
            "use protocol: http/1.1",
        )
    if pool.tls is None:
        return
    tls = (*path, "tls")
    if pool.tls.insecure:
        if written((*tls, "ca")):
            yield Finding((*tls, "insecure"), "checks nothing, and ca says what to check by", "leave one of them out")
        else:
            yield Finding(
                (*tls, "insecure"),
                f"pool {name}: the certificates of its servers are not checked (insecure)",
                None,
                "warning",
            )
    if pool.tls.key is not None and not written((*tls, "certificate")):
        yield Finding((*tls, "key"), "is the key of no certificate", "give certificate too")
