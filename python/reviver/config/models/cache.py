"""The cache: what routes and the forward half share, and how each of them uses it."""

import os
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from reviver.config.models.base import Listed, OnOff, Said, Section, within
from reviver.config.models.match import Match
from reviver.config.models.statuses import StatusText
from reviver.config.models.text import FieldName, KeyFieldName, Text, Token
from reviver.config.values import Count, Duration, Flag, Kind, Network, Size, refuse, shown

__all__ = ["Cache", "CacheDisk", "CacheKey", "CacheOverride", "CachePolicy", "KeyQuery", "Purge"]

_KIB, _MIB = 2**10, 2**20
_MOST = Size(2**50)

ObjectSize = Annotated[Size, within(Size(1), _MOST)]


def _folder(value: str) -> str:
    if "\0" in value:
        refuse(f"{shown(value)} names no folder")
    # what is in there is the cache's to remove
    if os.path.normpath(value).rpartition("/")[2] in ("", ".", ".."):
        refuse(f"{shown(value)} is not a folder for the cache alone", "write a folder of its own: var/cache")
    return value


class CacheDisk(Section):
    """What outlives the process, in a folder."""

    path: Annotated[Text, AfterValidator(_folder)] = Field(
        min_length=1,
        description="A folder for the cache alone, made where it is missing, for its owner only. Relative to the "
        "configuration.",
        examples=["var/cache"],
    )
    size: Annotated[Size, within(Size(16 * _MIB), _MOST)] = Field(
        default=Size(4096 * _MIB), description="What it may take in all, at least 16MiB."
    )


class Purge(Section):
    """Who may remove what is stored, with the method PURGE."""

    clients: tuple[Network, ...] = Field(
        default=(),
        description="Networks of clients. Empty: nobody, not even on loopback; `reviver cache purge` needs none.",
        examples=[["127.0.0.1", "10.0.0.0/8"]],
    )


def _targeted(value: str) -> str:
    if value.lower() in ("cache-control", "expires", "pragma"):
        refuse(f"{shown(value)} is for every cache", "it counts where no targeted field is there")
    return value


class Cache(Section):
    """What routes and the forward half share where they say `cache`."""

    memory: Annotated[Size, within(Size(_MIB), _MOST)] = Field(
        default=Size(256 * _MIB), description="What is kept in memory takes no more than this, at least 1MiB."
    )
    disk: CacheDisk | None = Field(
        default=None,
        description="What does not fit into memory, and what outlives the process; left out: memory only.",
        examples=[{"path": "var/cache", "size": "4GiB"}],
    )
    max_object: ObjectSize = Field(
        default=Size(64 * _MIB), description="Larger responses are not stored, whatever a route says."
    )
    targeted: tuple[Annotated[FieldName, AfterValidator(_targeted)], ...] = Field(
        default=("CDN-Cache-Control",),
        description="Response fields that stand for `Cache-Control` and `Expires` here (RFC 9213): the first that is "
        "there and valid counts. Empty: none.",
        examples=[["Reviver-Cache-Control", "CDN-Cache-Control"]],
    )
    status: Flag = Field(default=True, description="Whether responses say in `Cache-Status` what was done (RFC 9211).")
    purge: Purge = Field(
        default=Purge.model_construct(), description="Who may remove what is stored, with the method PURGE."
    )


class KeyQuery(Section):
    """Which parameters of the query count. `true` in place of the table is all of them, `false` none."""

    include: Annotated[tuple[Text, ...] | None, Said("all")] = Field(
        default=None,
        description="These alone count, by their decoded names; one that ends in `*` is all that begin so. Not "
        "together with `ignore`.",
        examples=[["page", "q"]],
    )
    ignore: tuple[Text, ...] = Field(
        default=(), description="These do not count; names as for `include`.", examples=[["utm_*", "fbclid"]]
    )
    sort: Flag = Field(default=False, description="Whether the same parameters in another order are the same.")


class CacheKey(Section):
    """What makes two requests ask for the same response. `Vary` of responses tells them apart besides."""

    scheme: Flag = Field(default=True, description="Whether `http` and `https` are kept apart.")
    host: Flag = Field(default=True, description="Whether hosts, and their ports, are kept apart.")
    path: Flag = Field(default=True, description="Whether paths are kept apart.")
    query: Annotated[KeyQuery, OnOff(off={"include": ()}), Said("`true`")] = Field(
        default=KeyQuery.model_construct(),
        description="Which parameters of the query count.",
        examples=[False, {"ignore": ["utm_*"], "sort": True}],
    )
    headers: tuple[KeyFieldName, ...] = Field(
        default=(), description="Request fields whose values count.", examples=[["x-tenant"]]
    )
    cookies: tuple[Token, ...] = Field(
        default=(), description="Names of cookies whose values count.", examples=[["language"]]
    )


def _percent(value: object) -> object:
    if isinstance(value, str) and value.endswith("%"):
        value = value.removesuffix("%")
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else value


Percent = Annotated[Count, Field(ge=0, le=100), BeforeValidator(_percent, json_schema_input_type=int | str)]


class CacheOverride(Section):
    """Another freshness than responses state, where they are known to be wrong."""

    match: Match = Field(description="Which requests.", examples=[{"path": "/img/*"}])
    ttl: Duration | None = Field(
        default=None, description="How long responses are fresh, whatever they say.", examples=["1h"]
    )
    min: Duration | None = Field(default=None, description="They are fresh at least this long.", examples=["1m"])
    max: Duration | None = Field(default=None, description="They are fresh at most this long.", examples=["1d"])
    percent: Annotated[Percent | None, Said("10, at most 24h")] = Field(
        default=None,
        description="Where nothing is stated: fresh for so many percent, 0 to 100, of the time since `Last-Modified` "
        "(RFC 9111, section 4.2.2).",
        examples=[20],
    )
    ignore: tuple[
        Literal["expires", "no_cache", "no_store", "private", "must_revalidate", "set_cookie", "vary", "reload"], ...
    ] = Field(
        default=(),
        description="What is taken as if it was not there. Of responses: `expires` (each statement of freshness), "
        "`no_cache`, `no_store`, `private`, `must_revalidate`, `set_cookie`, `vary`; of requests: `reload` (`no-cache` "
        "and `max-age`).",
        examples=[["expires", "reload"]],
    )


def _tag(value: str) -> str:
    if not re.fullmatch(r"[\x21-\x2b\x2d-\x7e]{1,256}", value):
        refuse(f"{shown(value)} is not a tag", "up to 256 ASCII characters without spaces and commas")
    return value


class CachePolicy(Section):
    """How responses are stored and served again (RFC 9111). `true` in place of the table takes all defaults."""

    ttl: Annotated[Duration | None, Said("by `Last-Modified`, RFC 9111, section 4.2.2")] = Field(
        default=None, description="How long responses are fresh that do not say so themselves.", examples=["5m"]
    )
    ttl_by_status: dict[StatusText, Duration] = Field(
        default={},
        description="The same by status: one, a class or a range; the narrowest that fits counts. `0s`: these are "
        "never stored.",
        examples=[{"404": "10s", "5xx": "0s", "301-308": "1h"}],
    )
    key: CacheKey = Field(
        default=CacheKey.model_construct(), description="What makes two requests ask for the same response."
    )
    bypass: Annotated[tuple[Match, ...], Listed()] = Field(
        default=(),
        description="Requests that are neither stored nor served from the store: conditions as of a route; of several "
        "tables any may fit.",
        examples=[{"cookie": {"session": "*"}}],
    )
    ignore_client_no_cache: Flag = Field(
        default=False,
        description="Whether `Cache-Control` and `Pragma` of requests have no say, so that no client can have a "
        "response fetched anew (RFC 9111, section 5.2.1).",
    )
    override: tuple[CacheOverride, ...] = Field(
        default=(),
        description="Another freshness than responses state, by request; the first that fits counts.",
        examples=[[{"match": {"path": "/img/*"}, "min": "1h", "ignore": ["reload"]}]],
    )
    stale_while_revalidate: Annotated[Duration | None, Said("none")] = Field(
        default=None,
        description="So long after it went stale a response is still served while it is validated (RFC 5861), where "
        "it does not say so itself.",
        examples=["30s"],
    )
    stale_if_error: Annotated[Duration | None, Said("none")] = Field(
        default=None,
        description="So long after it went stale a response is served where the upstream fails (RFC 5861), where it "
        "does not say so itself.",
        examples=["1d"],
    )
    min_uses: Count = Field(
        default=1, ge=1, le=1_000_000, description="A response is stored when it is asked for this many times."
    )
    max_object: Annotated[ObjectSize | None, Said("that of the top-level `cache`")] = Field(
        default=None, description="Larger responses are not stored; not more than the default.", examples=["10MiB"]
    )
    tags: tuple[Annotated[Text, AfterValidator(_tag), Kind("name")], ...] = Field(
        default=(), description="Put on each response, to purge them by.", examples=[["shop"]]
    )
    convert_head: Flag = Field(
        default=True, description="Whether a HEAD that is not stored is asked for with GET, so that the response is."
    )
    compress_stored: Flag = Field(default=False, description="Whether bodies of text are kept compressed.")
    slice: Annotated[Annotated[Size, within(Size(64 * _KIB), Size(64 * _MIB))] | None, Said("none")] = Field(
        default=None,
        description="Responses are fetched and kept in pieces of this size, 64KiB to 64MiB, so that ranges of large "
        "files need no whole ones.",
        examples=["1MiB"],
    )
    collapse_timeout: Annotated[Duration, within(Duration(0), Duration.read("1h"))] = Field(
        default=Duration(5000),
        description="How long a request waits for the response to another one with the same key before it is sent "
        "upstream too; `0s`: none waits.",
    )
