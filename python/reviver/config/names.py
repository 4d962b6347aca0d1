"""The names that certificates are obtained for."""

from reviver.config.models import Config, ListenerTls
from reviver.config.values import is_name

__all__ = ["automatic_domains"]


def automatic_domains(config: Config, tls: ListenerTls) -> tuple[str, ...]:
    """The names of `tls.automatic`: those that are given, else every host of the routes that is one exact name."""
    if tls.automatic is None:
        return ()
    routes = config.reverse.routes if config.reverse is not None else ()
    hosts = [host for route in routes for host in route.match.host if is_name(host)]
    return tls.automatic.domains or tuple(dict.fromkeys(hosts))
