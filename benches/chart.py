"""The chart: CPU time of each request as bars, one panel for each scenario, as SVG."""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape

from benches.bench import Outcome
from benches.report import HERO

COLUMNS, PANEL, LABEL, VALUE, BAR, GAP = 2, 440, 96, 70, 18, 6
MARGIN, TITLE, BETWEEN = 20, 30, 26

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #333 }
.title { font-weight: 600; font-size: 14px }
.peer { fill: #b6bfca } .hero { fill: #d9480f } .name { text-anchor: end }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .peer { fill: #5c6773 } .hero { fill: #ff7a3d } }
"""


def draw(outcomes: Iterable[Outcome]) -> str:
    """All scenarios that count CPU time."""
    shown = [outcome for outcome in outcomes if outcome.scenario.main == "cpu_us" and outcome.rows]
    pieces, top = [], MARGIN
    for first in range(0, len(shown), COLUMNS):
        line = shown[first : first + COLUMNS]
        for column, outcome in enumerate(line):
            pieces.append(panel(outcome, MARGIN + column * (PANEL + MARGIN), top))
        top += TITLE + max(len(outcome.rows) for outcome in line) * (BAR + GAP) + BETWEEN
    width = COLUMNS * (PANEL + MARGIN) + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {top}" '
        f'width="{width}" height="{top}">\n'
        f"<title>CPU time of each request, by proxy and scenario; shorter is better</title>\n"
        f"<style>{STYLE}</style>\n" + "\n".join(pieces) + "\n</svg>\n"
    )


def panel(outcome: Outcome, left: int, top: int) -> str:
    """One scenario: a bar for each proxy, the shortest first; shorter is better."""
    bars = sorted((middle, name) for name in outcome.rows if (middle := outcome.median(name)) is not None)
    longest = max(middle for middle, _ in bars) or 1.0
    heading = next(metric.heading for metric in outcome.scenario.metrics if metric.key == outcome.scenario.main)
    pieces = [
        f'<text class="title" x="{left}" y="{top + 14}">{escape(outcome.scenario.title)}: {escape(heading)}</text>'
    ]
    for index, (middle, name) in enumerate(bars):
        y = top + TITLE + index * (BAR + GAP)
        length = max(1.0, (PANEL - LABEL - VALUE) * middle / longest)
        kind = "hero" if name == HERO else "peer"
        pieces.append(
            f'<text class="name" x="{left + LABEL - 8}" y="{y + 14}">{escape(name)}</text>'
            f'<rect class="{kind}" x="{left + LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>'
            f'<text x="{left + LABEL + length + 6:.1f}" y="{y + 14}">{middle:,.1f}</text>'
        )
    return "\n".join(pieces)
