"""Conditions of requests: of routes, and of what is cached."""

from collections.abc import Mapping

from reviver.compile import plan
from reviver.config.models import ClientCertificate, Match

__all__ = ["compile_match", "named_patterns"]


def compile_match(match: Match) -> plan.Match:
    """The conditions, complete."""
    return {
        "host": list(match.host),
        "path": [_path(path) for path in match.path],
        "method": list(match.method),
        "header": named_patterns({name.lower(): value for name, value in match.header.items()}),
        "query": named_patterns(match.query),
        "cookie": named_patterns(match.cookie),
        "client": list(match.client),
        "client_certificate": _certificate(match.client_certificate),
    }


def _certificate(match: ClientCertificate | None) -> plan.CertificateMatch | None:
    if match is None:
        return None
    return {"subject": [_value(subject) for subject in match.subject], "fingerprint": list(match.fingerprint)}


def _path(path: str) -> plan.PathPattern:
    if path.startswith("~"):
        return {"regex": path[1:]}
    if path.endswith("*"):
        return {"prefix": path[:-1] or "/"}
    return {"exact": path}


def named_patterns(patterns: Mapping[str, str]) -> list[plan.NamedPattern]:
    """Names as they are, each with the pattern of its value."""
    return [{"name": name, "value": _value(pattern)} for name, pattern in patterns.items()]


def _value(pattern: str) -> plan.ValuePattern:
    if pattern == "*":
        return "present"
    if pattern.startswith("~"):
        return {"regex": pattern[1:]}
    if pattern.endswith("*"):
        return {"prefix": pattern[:-1]}
    return {"exact": pattern}
