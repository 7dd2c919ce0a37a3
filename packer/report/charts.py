"""Charts as SVG, drawn by Vega-Lite in vl-convert. Colours are CSS variables of the page, for light and dark themes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from packer.extras import require_extra

_WIDTH_PX = 560
_HEIGHT_PX = 180
_NUM_BINS = 40
_CONFIG: Mapping[str, Any] = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--quiet)",
        "titleColor": "var(--quiet)",
        "gridColor": "var(--line)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "titleFontWeight": "normal",
    },
    "bar": {"fill": "var(--mark)"},
    "rect": {"fill": "var(--mark)"},
    "legend": {"labelColor": "var(--quiet)", "titleColor": "var(--quiet)"},
}


def draw_bars(rows: Sequence[Mapping[str, object]], *, x: str, y: str, description: str) -> str:
    """Return an SVG with one bar for each row, in the order of rows; `x` and `y` name the columns to draw."""
    encoding = {
        "x": {"field": x, "type": "ordinal", "sort": None, "axis": {"labels": len(rows) <= 40, "ticks": False}},
        "y": {"field": y, "type": "quantitative"},
    }
    return _draw({"data": {"values": list(rows)}, "mark": "bar", "encoding": encoding}, description)


def draw_histogram(values: npt.NDArray[np.int64], *, title: str, description: str, is_log: bool = False) -> str:
    """Return an SVG histogram of int64 values [n]. With `is_log`, bins have equal ratios, for a wide range of sizes."""
    low, high = float(values.min()), float(values.max())
    if is_log and low > 0 and high > 4 * low:
        edges = np.logspace(math.log10(low), math.log10(high), _NUM_BINS + 1)
        edges[-1] = high
    else:
        edges = np.linspace(low, max(high, low + 1), _NUM_BINS + 1)
    counts, _ = np.histogram(values, bins=edges)
    rows = [
        {"from": float(start), "to": float(stop), "count": int(count)}
        for (start, stop), count in zip(itertools.pairwise(edges), counts, strict=True)
    ]
    scale = {"type": "log"} if is_log and low > 0 and high > 4 * low else {"zero": False}
    encoding = {
        "x": {"field": "from", "type": "quantitative", "scale": scale, "title": title, "axis": {"format": "~s"}},
        "x2": {"field": "to"},
        "y": {"field": "count", "type": "quantitative", "title": "records"},
        "y2": {"datum": 0},
    }
    return _draw({"data": {"values": rows}, "mark": "rect", "encoding": encoding}, description)


def _draw(chart: Mapping[str, Any], description: str) -> str:
    vl_convert = require_extra("vl_convert", "report", purpose="shardpack report")
    spec = {**chart, "width": _WIDTH_PX, "height": _HEIGHT_PX, "description": description, "config": dict(_CONFIG)}
    svg: str = vl_convert.vegalite_to_svg(spec)
    return svg
