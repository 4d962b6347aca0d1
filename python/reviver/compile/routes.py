"""Routes: what they match, what they do, and what holds on the way."""

from reviver.compile import plan
from reviver.compile.cache import compile_policy
from reviver.compile.matches import compile_match
from reviver.compile.mirrors import compile_mirror
from reviver.config import Config, KeyPath, Loaded
from reviver.config.models import Hedge, Limit, Redirect, Respond, Retry, Reverse, Rewrite, Route

__all__ = ["compile_routes"]


_MAX_BACKOFF_MS = 250


def compile_routes(reverse: Reverse, loaded: Loaded) -> list[plan.Route]:
    """The routes in order."""
    pools, splits = list(reverse.pools), list(reverse.splits)
    return [_route(index, route, pools, splits, loaded) for index, route in enumerate(reverse.routes)]


def _route(index: int, route: Route, pools: list[str], splits: list[str], loaded: Loaded) -> plan.Route:
    config: Config = loaded.config
    request, response = route.headers.request, route.headers.response
    body = config.limits.body if route.limits.body is None else route.limits.body
    path: KeyPath = ("reverse", "routes", index)
    name = route.name or f"route-{index + 1}"
    return {
        "name": name,
        "at": loaded.positions.place(path),
        "matches": compile_match(route.match),
        "action": _action(route, pools, splits),
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
        "mirror": compile_mirror(route.mirror, None, pools, (*path, "mirror"), loaded),
        "hedge": None if route.hedge is None else _hedge(route.hedge, (*path, "hedge"), loaded),
        "priority": route.priority,
        "limits": [
            _limit(limit, name if number == 1 else f"{name}-{number}", (*path, "limit", number - 1), loaded)
            for number, limit in enumerate(route.limit, 1)
        ],
        "cache": None if route.cache is None else compile_policy(route.cache, (*path, "cache"), loaded),
    }


def _action(route: Route, pools: list[str], splits: list[str]) -> plan.Action:
    # that there is exactly one of them has been checked
    if route.pool is not None:
        return {"pool": pools.index(route.pool)}
    if route.split is not None:
        return {"split": splits.index(route.split)}
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


def _hedge(hedge: Hedge, path: KeyPath, loaded: Loaded) -> plan.Hedge:
    least = int(hedge.min) if hedge.after.quantile else hedge.after.milliseconds
    return {"at": loaded.positions.place(path), "after_ms": least, "quantile": hedge.after.quantile}


def _limit(limit: Limit, name: str, path: KeyPath, loaded: Loaded) -> plan.RateLimit:
    return {
        "at": loaded.positions.place(path),
        "name": limit.name or name,
        "rate": limit.rate.number,
        "period_ms": limit.rate.period,
        "burst": limit.rate.number if limit.burst is None else limit.burst,
        "by": _by(limit.by),
        "dry_run": limit.dry_run,
        "fields": limit.fields,
    }


def _by(text: str) -> plan.LimitBy:
    kind, _, name = text.partition(":")
    match kind:
        case "header":
            return {"header": name}
        case "cookie":
            return {"cookie": name}
        case "route":
            return "route"
        case _:
            return "client"


def _retry(retry: Retry) -> plan.Retry:
    backoff = int(retry.backoff)
    return {
        "attempts": retry.attempts,
        "on_connect": "connect" in retry.on,
        "on_reset": "reset" in retry.on,
        "on_status": sorted({cause for cause in retry.on if isinstance(cause, int)}),
        "backoff_ms": backoff,
        "max_backoff_ms": max(_MAX_BACKOFF_MS, backoff) if retry.max_backoff is None else int(retry.max_backoff),
        "try_ms": int(retry.try_timeout or 0),
    }
