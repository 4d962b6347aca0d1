"""How servers are found to be up or down: by asking them, and by what their answers show."""

from reviver.compile import plan
from reviver.compile.matches import named_patterns
from reviver.config import KeyPath, Loaded
from reviver.config.models import Health, LatencyOutlier, Outlier, SuccessRate

__all__ = ["compile_health", "compile_outlier"]

_TIMEOUT_MS = 2000
_MAX_EJECT_MS = 300_000
_BY_CONNECTION = Outlier.model_construct(status=())
"""What holds without a word of it: statuses may be meant, failures of the connection never are."""


def compile_health(health: Health | None, path: KeyPath, loaded: Loaded) -> plan.Health | None:
    """The checks of one pool, complete; they were written at `path`."""
    if health is None:
        return None
    every = int(health.every)
    return {
        "at": loaded.positions.place(path),
        "check": _check(health),
        "port": health.port,
        "every_ms": every,
        "down_every_ms": max(every // 2, 1) if health.every_down is None else int(health.every_down),
        "timeout_ms": min(_TIMEOUT_MS, every) if health.timeout is None else int(health.timeout),
        "rise": health.rise,
        "fall": health.fall,
        "jitter": int(health.jitter),
    }


def _check(health: Health) -> plan.HealthCheck:
    match health.type:
        case "tcp" | "tls":
            return health.type
        case "grpc":
            return {"grpc": {"service": health.service}}
    return {
        "http": {
            "method": health.method,
            "path": health.path or "/",
            "host": health.host,
            "headers": list(health.headers.items()),
            "statuses": [(first, last) for first, last in health.expect],
            "expect_headers": named_patterns({name.lower(): value for name, value in health.expect_headers.items()}),
            "body": None if health.body is None else _body(health.body),
        }
    }


def _body(text: str) -> plan.ValuePattern:
    return {"regex": text[1:]} if text.startswith("~") else {"prefix": text}


def compile_outlier(written: Outlier | None, path: KeyPath, loaded: Loaded) -> plan.Outlier | None:
    """When the servers of one pool are taken out; none: never."""
    outlier = _BY_CONNECTION if written is None else written
    if not outlier.consecutive_errors and outlier.success_rate is None and outlier.latency is None:
        return None
    eject = int(outlier.eject)
    return {
        "at": loaded.positions.place(path),
        "consecutive_errors": outlier.consecutive_errors,
        "statuses": [(first, last) for first, last in outlier.status],
        "success_rate": _success_rate(outlier.success_rate),
        "latency": _latency(outlier.latency),
        "every_ms": int(outlier.every),
        "eject_ms": eject,
        "max_eject_ms": max(_MAX_EJECT_MS, eject) if outlier.max_eject is None else int(outlier.max_eject),
        "max_ejected": int(outlier.max_ejected),
    }


def _success_rate(rate: SuccessRate | None) -> plan.SuccessRate | None:
    if rate is None:
        return None
    return {
        "deviations": float(rate.deviations),
        "min_requests": rate.min_requests,
        "min_servers": rate.min_servers,
    }


def _latency(latency: LatencyOutlier | None) -> plan.LatencyOutlier | None:
    if latency is None:
        return None
    return {
        "factor": float(latency.factor),
        "min_requests": latency.min_requests,
        "min_servers": latency.min_servers,
    }
