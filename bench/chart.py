"""Lines over time as one SVG file, without a library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_COLOURS = ("#c0392b", "#2c7fb8", "#7f8c8d", "#27ae60", "#8e44ad")
_WIDTH, _HEIGHT, _LEFT, _TOP = 900, 240, 70, 30


@dataclass(frozen=True)
class Chart:
    """Curves by name, each a list of (x, y)."""

    title: str
    x: str
    y: str
    curves: Mapping[str, Sequence[tuple[float, float]]]


def drawn(charts: Sequence[Chart]) -> str:
    """One below the other."""
    height = (_HEIGHT + 2 * _TOP) * len(charts)
    parts = "".join(_one(each, i * (_HEIGHT + 2 * _TOP)) for i, each in enumerate(charts))
    size = f'width="{_WIDTH + 2 * _LEFT}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">{parts}</svg>\n'


def _one(what: Chart, down: int) -> str:
    points = [point for curve in what.curves.values() for point in curve] or [(0.0, 0.0)]
    right, top = max(x for x, _ in points) or 1.0, max(y for _, y in points) or 1.0

    def place(x: float, y: float) -> str:
        return f"{_LEFT + _WIDTH * x / right:.1f},{down + _TOP + _HEIGHT * (1 - y / top):.1f}"

    bottom = down + _TOP + _HEIGHT
    parts = [
        f'<text x="{_LEFT}" y="{down + 18}" font-weight="bold">{escape(what.title)}</text>',
        f'<path d="M{place(0, top)}L{place(0, 0)}L{place(right, 0)}" fill="none" stroke="#888"/>',
        f'<text x="{_LEFT - 6}" y="{down + _TOP + 10}" text-anchor="end">{top:,.0f}</text>',
        f'<text x="{_LEFT - 6}" y="{bottom}" text-anchor="end">0 {escape(what.y)}</text>',
        f'<text x="{_LEFT + _WIDTH}" y="{bottom + 16}" text-anchor="end">{right:,.1f} {escape(what.x)}</text>',
    ]
    for i, (name, curve) in enumerate(what.curves.items()):
        colour = _COLOURS[i % len(_COLOURS)]
        way = " ".join(place(x, y) for x, y in curve)
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{_LEFT + 300 + 110 * i}" y="{down + 18}" fill="{colour}">{escape(name)}</text>')
    return "".join(parts)
