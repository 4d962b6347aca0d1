"""docs/reasons.md, from the tables of reasons and of parse errors."""

from pathlib import Path

from tools.generators import rust_tables

__all__ = ["generate"]

_REASONS = Path("crates/reviver-flow/src/reason.rs")
_DETAILS = Path("crates/reviver-http/src/error.rs")
_REASON = r"""
    (?P<variant> \w+ ) \s+ "(?P<name> [a-z0-9_]+ )" \s+ (?P<status> \d+ ) \s+ (?P<fault> \w+ ) \s+
    "(?P<proxy_status> [a-z_]* )" \s+ "(?P<sentence> [^"\\]+ )"
"""
_DETAIL = r"""
    (?P<variant> \w+ ) \s+ (?P<status> \d+ ) \s+ "(?P<name> [a-z0-9_]+ )" \s+ "(?P<sentence> [^"\\]+ )"
"""
_FAULTS = {
    "None": "Nothing failed",
    "Client": "The client's doing",
    "Proxy": "The proxy's own",
    "Upstream": "The upstream's doing",
}

_HEAD = """\
# Reasons

<!-- Generated from crates/reviver-flow/src/reason.rs and crates/reviver-http/src/error.rs by tools/generate.py:
     changes belong there. -->

Why a flow ended as it did, as one stable word. The same word stands in the log (`reason`), in the field `Proxy-Status`
([RFC 9209](https://www.rfc-editor.org/rfc/rfc9209)) as `details`, on the page that the client sees, in what
`reviver explain` prints and among the failures of `reviver status`. No word is ever renamed.

The status is that of the answer which the proxy makes. Where there is none, the flow carries an answer of the upstream
or of a route, or the connection is closed without one. 499 is for the log only: that client was gone. The error is the
type by which `Proxy-Status` names it.
"""
_DETAILS_HEAD = """
## Details of malformed messages

Requests that two parsers could read differently are refused, never repaired, and their connection is closed. The log's
`detail` then says what was wrong. The same words stand for malformed answers of upstreams inside the proxy, where the
client gets 502.

| detail | status | meaning |
|---|---|---|
"""


def generate(root: Path) -> tuple[Path, str]:
    """Path and text of docs/reasons.md."""
    reasons = rust_tables.rows(root / _REASONS, "slugs", _REASON)
    unknown = {row["fault"] for row in reasons} - _FAULTS.keys()
    if unknown:
        raise SystemExit(f"{_REASONS}: no heading for the fault {', '.join(sorted(unknown))}")
    text = _HEAD
    for fault, title in _FAULTS.items():
        text += f"\n## {title}\n\n| reason | status | error | meaning |\n|---|---|---|---|\n"
        for row in reasons:
            if row["fault"] == fault:
                error = f"`{row['proxy_status']}`" if row["proxy_status"] else ""
                status = "" if row["status"] == "0" else row["status"]
                text += f"| `{row['name']}` | {status} | {error} | {row['sentence']} |\n"
    text += _DETAILS_HEAD
    for row in rust_tables.rows(root / _DETAILS, "errors", _DETAIL):
        text += f"| `{row['name']}` | {row['status']} | {row['sentence']} |\n"
    return root / "docs" / "reasons.md", text
