"""The configuration as a person writes it: frozen models, one table each, one description for each key.

The manual (docs/configuration.md) and the JSON Schema are made from these models. What is not said here:
what holds between keys (`reviver.config.checks`), and what becomes of it all (`reviver.compile`).
"""

from reviver.config.models.autopilot import AbortOn, Autopilot, Gate, Gates
from reviver.config.models.balancing import Queue, RetryBudget, Sticky
from reviver.config.models.base import Said, Section
from reviver.config.models.cache import Cache, CacheDisk, CacheKey, CacheOverride, CachePolicy, Purge
from reviver.config.models.discover import Discover, Docker
from reviver.config.models.forward import Anonymity, Auth, Forward
from reviver.config.models.health import Health
from reviver.config.models.hedges import Hedge
from reviver.config.models.limits import Limits, Resolver, Timeouts
from reviver.config.models.listeners import BindAddress, Listener
from reviver.config.models.logs import LogSink
from reviver.config.models.match import ClientCertificate, Match
from reviver.config.models.mirrors import Compare, Mirror, RouteMirror
from reviver.config.models.outliers import LatencyOutlier, Outlier, SuccessRate
from reviver.config.models.overload import Adaptive
from reviver.config.models.pools import KeepAlive, Pool, Server
from reviver.config.models.rate_limits import Limit
from reviver.config.models.reverse import (
    Headers,
    Redirect,
    Respond,
    Retry,
    Reverse,
    Rewrite,
    Route,
)
from reviver.config.models.root import Config, Control
from reviver.config.models.splits import Force, Split, SplitSticky
from reviver.config.models.statuses import status_range
from reviver.config.models.tls import Automatic, CertificateFiles, ExternalAccount, Hsts, ListenerTls, UpstreamTls

__all__ = [
    "AbortOn", "Adaptive", "Anonymity", "Auth", "Automatic", "Autopilot", "BindAddress", "Cache", "CacheDisk",
    "CacheKey", "CacheOverride", "CachePolicy", "CertificateFiles", "ClientCertificate", "Compare", "Config", "Control",
    "Discover", "Docker", "ExternalAccount", "Force", "Forward", "Gate", "Gates", "Headers", "Health", "Hedge", "Hsts",
    "KeepAlive", "LatencyOutlier", "Limit", "Limits", "Listener", "ListenerTls", "LogSink", "Match", "Mirror",
    "Outlier", "Pool", "Purge", "Queue", "Redirect", "Resolver", "Respond", "Retry", "RetryBudget", "Reverse",
    "Rewrite", "Route", "RouteMirror", "Said", "Section", "Server", "Split", "SplitSticky", "Sticky", "SuccessRate",
    "Timeouts", "UpstreamTls", "status_range",
]  # fmt: skip
