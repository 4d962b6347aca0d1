"""Routes: what they match, what they do, and what holds on the way."""

from reviver.compile import plan
from reviver.compile.cache import compile_policy
from reviver.compile.matches import compile_match
from reviver.config import Config, Loaded
from reviver.config.models import Redirect, Respond, Retry, Rewrite, Route

__all__ = ["compile_routes"]


def compile_routes(routes: tuple[Route, ...], pools: list[str], loaded: Loaded) -> list[plan.Route]:
    """The routes in order; `pools` are the names of the pools in theirs."""
    return [_route(index, route, pools, loaded) for index, route in enumerate(routes)]


def _route(index: int, route: Route, pools: list[str], loaded: Loaded) -> plan.Route:
    config: Config = loaded.config
    request, response = route.headers.request, route.headers.response
    body = config.limits.body if route.limits.body is None else route.limits.body
    path = ("reverse", "routes", index)
    return {
        "name": route.name or f"route-{index + 1}",
        "at": loaded.positions.place(path),
        "matches": compile_match(route.match),
        "action": _action(route, pools),
        "rewrite": _rewrite(route.rewrite),
        "request_headers": {
            "set": list(request.set.items()),
            "add": list(request.add.items()),
            "remove": list(request.remove),
        },
        "response_headers": {
            "set": list(response.set.items()),
            "add": list(response.add.items()),
            "remove": list(response.remove),
        },
        "retry": _retry(route.retry),
        "connect_ms": int(route.timeout.connect or config.timeout.connect),
        "first_byte_ms": int(route.timeout.first_byte or config.timeout.first_byte),
        "idle_ms": int(route.timeout.idle or config.timeout.idle),
        "body": int(body),
        "limits": [],
        "cache": None if route.cache is None else compile_policy(route.cache, (*path, "cache"), loaded),
    }


def _action(route: Route, pools: list[str]) -> plan.Action:
    # that there is exactly one of them has been checked
    if route.pool is not None:
        return {"pool": pools.index(route.pool)}
    if route.redirect is not None:
        redirect: Redirect = route.redirect
        return {"redirect": {"to": redirect.to, "status": redirect.status}}
    respond = route.respond or Respond.model_construct()
    return {
        "respond": {
            "status": respond.status,
            "headers": list(respond.headers.items()),
            "body": respond.body,
            "content_type": respond.content_type,
        }
    }


def _rewrite(rewrite: Rewrite) -> plan.Rewrite:
    return {
        "strip_prefix": rewrite.strip_prefix,
        "replace": (rewrite.replace.pattern, rewrite.replace.with_) if rewrite.replace else None,
        "add_prefix": rewrite.add_prefix,
        "host": rewrite.host,
    }


def _retry(retry: Retry) -> plan.Retry:
    return {
        "attempts": retry.attempts,
        "on_connect": "connect" in retry.on,
        "on_reset": "reset" in retry.on,
        "on_status": sorted({cause for cause in retry.on if isinstance(cause, int)}),
        "backoff_ms": 10,
        "max_backoff_ms": 250,
        "try_ms": 0,
    }
