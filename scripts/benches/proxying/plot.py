"""Growth curves as SVG, without any library: both axes logarithmic, each layout a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor, log10

Points = Sequence[tuple[float, float]]
_WIDTH, _HEIGHT, _MARGIN = 640, 400, 60
_COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#57606a")


def draw(title: str, across: str, up: str, lines: Mapping[str, Points]) -> str:
    """Draw lines with their names."""
    points = [point for line in lines.values() for point in line]
    bounds = [(floor(log10(min(axis))), ceil(log10(max(axis)))) for axis in zip(*points, strict=True)]

    def place(x: float, y: float) -> tuple[float, float]:
        (left, right), (low, high) = bounds
        at = (log10(x) - left) / max(right - left, 1), (log10(y) - low) / max(high - low, 1)
        wide, tall = _WIDTH - 2 * _MARGIN - 120, _HEIGHT - 2 * _MARGIN
        return _MARGIN + at[0] * wide, _HEIGHT - _MARGIN - at[1] * tall

    def parts() -> Iterator[str]:
        yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">'
        yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>'
        yield f'<text x="{_MARGIN}" y="24" font-size="15">{title}</text>'
        (left, right), (low, high) = bounds
        for power in range(left, right + 1):
            x, y = place(10**power, 10**low)
            yield f'<text x="{x:.0f}" y="{y + 18:.0f}" font-size="11" text-anchor="middle">{10**power:g}</text>'
        for power in range(low, high + 1):
            x, y = place(10**left, 10**power)
            yield f'<path d="M{x:.0f} {y:.0f}H{_WIDTH - _MARGIN - 120}" stroke="#ddd"/>'
            yield f'<text x="{x - 6:.0f}" y="{y + 4:.0f}" font-size="11" text-anchor="end">{10**power:g}</text>'
        yield f'<text x="{_MARGIN}" y="{_HEIGHT - 14}" font-size="12">{across}</text>'
        yield f'<text x="8" y="44" font-size="12">{up}</text>'
        for colour, line in zip(_COLOURS, lines.values(), strict=False):
            path = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in line)
            yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        named = [
            (place(*line[-1]), name, colour) for colour, (name, line) in zip(_COLOURS, lines.items(), strict=False)
        ]
        lowest = 0.0
        for (x, y), name, colour in sorted(named, key=lambda one: one[0][1]):  # none over another
            lowest = max(y + 4, lowest + 13)
            yield f'<text x="{x + 6:.0f}" y="{lowest:.0f}" font-size="12" fill="{colour}">{name}</text>'
        yield "</svg>\n"

    return "\n".join(parts())
