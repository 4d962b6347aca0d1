"""Numbers as people read them."""

_NAMES = {"error_rate": "errors"}


def percent(share: float) -> str:
    """`0.52 %`; four digits at most, none of which says nothing."""
    return f"{100 * share:.3g} %"


def weight(points: int) -> str:
    """Of a step: `0.25 %`."""
    return f"{points / 100:g} %"


def milliseconds(microseconds: float) -> str:
    """`41.2 ms`."""
    return f"{microseconds / 1000:.3g} ms" if microseconds < 1_000_000 else f"{microseconds / 1000:.0f} ms"


def metric(name: str) -> str:
    """As it is named in sentences."""
    return _NAMES.get(name, name)
