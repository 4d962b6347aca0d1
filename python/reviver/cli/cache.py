"""`reviver cache`: what is cached and how well, what is to go, and what is to be fetched in advance."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from reviver.cli.options import ask_running, find_socket, header_option, json_option, running_proxy_options
from reviver.cli.output import fail, note, print_json, size
from reviver.cli.urls import absolute, authority, url_argument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from reviver.cli.warming import Choice, Fetched, Summary


@click.group("cache")
def command() -> None:
    """Show what is cached, purge it, fetch in advance.

    \b
    reviver cache stats
    reviver cache purge --host shop.example
    reviver cache get http://shop.example/logo.png
    reviver cache warm urls.txt
    """


@command.command("stats", short_help="How full it is, and how often it hits.")
@running_proxy_options
@json_option
def stats(config: Path | None, socket: Path | None, as_json: bool) -> int:
    """Show how full the cache is, its hit ratio by route, why requests missed and what is used most.

    \b
    reviver cache stats
    reviver cache stats --json | jq .hit_ratio
    """
    answer = ask_running("cache.stats", config, socket, as_json, on_progress=_waiting("counting"))
    if not as_json:
        from reviver.cli.cache_shown import show_stats

        show_stats(answer)
    return 0


def _selector(key: str, metavar: str, text: str) -> "Callable[..., Any]":
    return click.option(f"--{key}", key, multiple=True, metavar=metavar, help=text)


@command.command("purge", short_help="Take responses out of it.")
@_selector("url", "URL", "This URL, with all its variants. http where no scheme is written.")
@_selector("prefix", "URL", "Every URL that begins so.")
@_selector("host", "HOST", "Every URL of this host.")
@_selector("tag", "TAG", "All that has this tag: of Cache-Tag, Surrogate-Key, xkey, or of the configuration.")
@_selector("group", "GROUP", "All that has this group of Cache-Groups.")
@_selector("expression", "TEXT", "All for which this holds.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--soft", is_flag=True, help="Keep it, but stale: it is used again once it has been validated.")
@running_proxy_options
@json_option
def purge(
    everything: bool, soft: bool, config: Path | None, socket: Path | None, as_json: bool, **chosen: tuple[str, ...]
) -> int:
    """Take out of the cache what one of the options selects; says how many responses that were.

    That holds for all workers and on disk when the command ends. Nothing to purge is no error.

    An expression is written as in Python. It may use url, scheme, host, path, query, status, age, ttl, size, hits,
    tags, groups, content_type, variant, stored_as ("memory" or "disk"); == != < <= > >=, in, and, or, not;
    .startswith("x"), .endswith("x"), .matches("regular expression"). Ages are seconds or "5m", sizes bytes or "1MiB".

    \b
    reviver cache purge --url https://shop.example/logo.png
    reviver cache purge --prefix shop.example/img/ --soft
    reviver cache purge --tag product-7
    reviver cache purge --expression 'host == "shop.example" and (age > "1h" or status in (404, 410))'
    """
    from reviver.control.cache_expression import ExpressionError

    given = [(key, value) for key, values in chosen.items() for value in values]
    names = [f"--{key}" for key, _ in given] + ["--all"] * everything
    if not names:
        raise click.UsageError(f"say what to purge: {', '.join(f'--{key}' for key in chosen)} or --all")
    if len(names) > 1:
        raise click.UsageError(f"{' and '.join(names)} are given; give one of them")
    try:
        select = {"all": True} if everything else _select(*given[0])
    except ExpressionError as error:
        fail(f"--expression: {error}")
        note("\n".join(f"  {line}" for line in error.caret().split("\n")))
        return 2
    request = {"select": select, "soft": soft}
    answer = ask_running("cache.purge", config, socket, as_json, request=request, on_progress=_waiting("purging"))
    if not as_json:
        click.echo(f"{answer['purged']} purged")
    return 0


def _select(key: str, value: str) -> dict[str, Any]:
    """What the engine is told. Raises BadParameter, or ExpressionError."""
    if key == "expression":
        from reviver.control.cache_expression import compiled

        return {key: compiled(value)}
    option = f"--{key}"
    if not value or not value.isprintable():
        raise click.BadParameter(f"{value!r} is not a {key}", param_hint=option)
    try:
        if key == "host":
            if "/" in value:
                raise ValueError(f"{value!r} is more than a host (--url and --prefix take URLs)")
            return {key: authority(value)}
        if key == "prefix":
            return {key: absolute(value.removesuffix("*"))}
        return {key: absolute(value) if key == "url" else value}
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


@command.command("get", short_help="What is stored for a URL, and why it would be served or not.")
@click.argument("url", callback=url_argument)
@header_option
@click.option("--method", default="GET", show_default=True, metavar="METHOD", help="What would be asked.")
@click.option("--listener", metavar="NAME", help="Where it would come in; by default the first that fits the URL.")
@running_proxy_options
@json_option
def get(
    url: str,
    headers: list[tuple[str, str]],
    method: str,
    listener: str | None,
    config: Path | None,
    socket: Path | None,
    as_json: bool,
) -> int:
    """Show what is stored for URL, and whether it would be served now, and why.

    Nothing is fetched, and nothing changes.

    \b
    reviver cache get http://shop.example/logo.png
    reviver cache get shop.example/ -H 'Accept-Encoding: br' -H 'Cache-Control: no-cache'
    """
    request = {"method": method, "url": url, "headers": [list(header) for header in headers], "listener": listener}
    answer = ask_running("cache.get", config, socket, as_json, request=request, on_progress=_waiting("looking"))
    if not as_json:
        from reviver.cli.cache_shown import show_found

        show_found(f"{method} {url}", answer)
    return 0


@command.command("warm", short_help="Fetch URLs through the proxy in advance.")
@click.argument("file", type=click.File("r", encoding="utf-8", errors="surrogateescape"), required=False)
@click.option("--url", "urls", multiple=True, metavar="URL", help="One more. May be repeated.")
@click.option("--via", metavar="HOST:PORT", help="Where the proxy is; by default its listener's own address.")
@click.option("--listener", metavar="NAME", help="Through this listener; by default the first that fits each URL.")
@header_option
@click.option(
    "--concurrency", type=click.IntRange(1, 256), default=8, show_default=True, metavar="N", help="How many at a time."
)
@running_proxy_options
@json_option
def warm(
    file: TextIO | None,
    urls: tuple[str, ...],
    via: str | None,
    listener: str | None,
    headers: list[tuple[str, str]],
    concurrency: int,
    config: Path | None,
    socket: Path | None,
    as_json: bool,
) -> int:
    """Fetch URLs through the running proxy, so that they are cached before anybody asks.

    FILE has one URL a line, - is standard input; empty lines and those that begin with # are passed over. Reverse
    listeners are asked with the URL's host, forward listeners as a proxy. Certificates are not checked on loopback.
    What is stored depends on the fields of requests where responses vary: give them by -H. Exit code 1 when one URL
    could not be fetched.

    \b
    reviver cache warm urls.txt
    reviver cache warm --url https://shop.example/ -H 'Accept-Encoding: gzip'
    sitemap | reviver cache warm - --via 10.0.0.1:3128 --concurrency 32
    """
    from reviver.cli.warming import Summary, fetch_all, unique

    wanted = unique([*_listed(file), *_written(urls)])
    if file is None and not urls:
        raise click.UsageError("say what to fetch: FILE, - or --url")
    choose = _choice(via, listener, config, socket)
    summary = Summary()
    for item in _watched(fetch_all(wanted, choose, headers, concurrency), len(wanted), quiet=as_json):
        summary.add(item)
    if as_json:
        print_json(summary.as_dict())
    else:
        click.echo(_told(summary))
    return 1 if summary.failed else 0


def _listed(file: TextIO | None) -> list[str]:
    """The URLs of a file. Raises ConfigurationError with every line that is none."""
    from reviver.errors import ConfigurationError, Diagnostic

    found, wrong = [], []
    for number, line in enumerate(file or (), 1):
        text = line.strip().removeprefix("\ufeff")
        if not text or text.startswith("#"):
            continue
        try:
            found.append(absolute(text))
        except ValueError as error:
            wrong.append(Diagnostic(getattr(file, "name", "-"), number, 0, "", str(error)))
    if wrong:
        raise ConfigurationError(wrong)
    return found


def _written(urls: "Iterable[str]") -> list[str]:
    try:
        return [absolute(url) for url in urls]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--url") from error


def _choice(via: str | None, listener: str | None, config: Path | None, socket: Path | None) -> "Choice":
    """By the listeners of the running proxy; one that is reached only by --via need not run here."""
    from reviver.cli.warming import Choice
    from reviver.control.client import NotRunningError, ask

    if via is not None:
        try:
            via = authority(via)
            if ":" not in via.rpartition("]")[2]:
                raise ValueError(f"{via!r} has no port")
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--via") from error
    try:
        listeners = ask(find_socket(config, socket), "status")["listeners"]
    except NotRunningError:
        if via is None or listener is not None or socket is not None:
            raise
        listeners = []
    try:
        return Choice(listeners, via, listener)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--listener") from error


def _watched(items: "Iterator[Fetched]", total: int, *, quiet: bool) -> "Iterator[Fetched]":
    """A progress bar where a person looks on, else a line for each."""
    import sys

    if not sys.stderr.isatty():
        for item in items:
            if not quiet:
                click.echo(_line(item))
            yield item
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("warming"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True, highlight=False)) as progress:
        task = progress.add_task("", total=total)
        for item in items:
            if item.outcome == "failed":
                progress.console.print(_line(item), markup=False, soft_wrap=True)
            progress.advance(task)
            yield item


def _line(item: "Fetched") -> str:
    reason = f": {item.reason}" if item.reason else ""
    return f"{item.outcome:<10} {item.url}{reason}"


def _told(summary: "Summary") -> str:
    """The last line."""
    parts = [f"{summary.stored} stored", f"{summary.there} already there"]
    if summary.not_stored:
        reasons = ", ".join(f"{reason} {count}" for reason, count in summary.not_stored.most_common())
        parts.append(f"{summary.not_stored.total()} not stored ({reasons})")
    return f"{summary.fetched} fetched ({size(summary.size)}): {', '.join(parts)}; {len(summary.failed)} failed"


def _waiting(doing: str) -> "Callable[[dict[str, Any]], None]":
    """Says once that it takes a while."""
    said = False

    def waiting(_: dict[str, Any]) -> None:
        nonlocal said
        if not said:
            note(f"{doing}; much is stored")
            said = True

    return waiting
