"""One look for every figure: colours and their dark counterparts, readable axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from isoflop.base.formatting import short

INK = "#1d2433"
SOFT = "#5d6678"
GRID = "#e6e8ee"
ACCENT = "#b4411f"
"""Predictions and the fitted law's frontier."""
NEUTRAL = "#9aa1af"
EQUAL = "#6b7383"
"""Lines of equal compute."""
PAPER = "#ffffff"
DARK = {
    INK: "#e4e7ee", SOFT: "#a3abba", GRID: "#2a2f3b", ACCENT: "#f0835c", NEUTRAL: "#7d8596", EQUAL: "#9aa3b5",
    PAPER: "#14171e",
}  # fmt: skip
"""What the page shows in place of each on a dark screen."""
LOSS_SCALE = ("#7f9fc6", "#a9bfda", "#d5e0ec", "#f7f9fb")
"""From a low loss to a high one."""
DARK_LOSS_SCALE = ("#5b86bd", "#42618c", "#2b3d58", "#1b2331")
RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: every machine draws the same figure
    "font.size": 9,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.title_fontsize": 8,
    "figure.facecolor": "white",
    "pdf.fonttype": 42,
    "svg.fonttype": "none",  # text stays text: small, and found by a search of the page
}
CURVE_NAMES = {
    "parabola": "parabolas in log N by least squares",
    "akima": "Akima interpolants of log loss in log N",
    "argmin": "straight lines from size to size, so the run of least loss",
}
"""What an entry of `FitOptions.curve` draws through a budget's runs."""


def loss_colours(dark: bool = False) -> LinearSegmentedColormap:
    """The colours of a fitted loss, low to high."""
    stops = zip((0.0, 0.35, 0.7, 1.0), DARK_LOSS_SCALE if dark else LOSS_SCALE, strict=True)
    return LinearSegmentedColormap.from_list("loss", list(stops))


def budget_colours(count: int) -> list[str]:
    """One colour a budget, dark to light with compute, distinct for colour-blind readers too."""
    scale = matplotlib.colormaps["viridis"]
    return [to_hex(scale(x)) for x in (np.linspace(0.02, 0.86, count) if count != 1 else [0.3])]


@cache
def dark_colours() -> dict[str, str]:
    """What stands on a dark screen for each colour that a figure may have."""
    viridis, light, dark = matplotlib.colormaps["viridis"], loss_colours(), loss_colours(dark=True)
    last = viridis.N - 1
    brighter = {to_hex(viridis(k)): to_hex(viridis(round(0.35 * last + 0.65 * k))) for k in range(last + 1)}
    return {to_hex(light(k)): to_hex(dark(k)) for k in range(light.N)} | brighter | DARK


def log_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Round values between `low` and `high`: 1-2-5 steps, or whole decades where those would crowd."""
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    for steps in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**k for k in range(first, last + 1) for m in steps]
        ticks = [t for t in ticks if low * 0.999 <= t <= high * 1.001]
        if len(ticks) <= most:
            return ticks if len(ticks) > 1 else _even_ticks(low, high, most)
    stride = int(np.ceil(len(ticks) / most))
    return ticks[::stride]


def _even_ticks(low: float, high: float, most: int) -> list[float]:
    """Multiples of a round step: of a range so short that logarithms are as good as even."""
    largest = int(np.floor(np.log10(high)))
    for step in (m * 10.0**k for k in range(largest - 6, largest + 1) for m in (1, 2, 5)):
        multiples = np.arange(np.ceil(low / step), np.floor(high / step) + 1)
        if len(multiples) <= most:
            return [float(f"{tick:.12g}") for tick in multiples * step]
    return []


def spread(values: Sequence[float] | np.ndarray, margin: float = 0.06) -> tuple[float, float]:
    """The range of positive values with a margin, in log."""
    x = np.log(np.asarray(values, dtype=float))
    pad = max(margin * float(np.ptp(x)), 0.03)
    return float(np.exp(x.min() - pad)), float(np.exp(x.max() + pad))


def canvas(
    width: float = 7.4, height: float = 4.5, rows: int = 1, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """A figure of this many inches and its axes, row by row, without touching matplotlib's global state."""
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = [figure.add_subplot(rows, columns, k + 1) for k in range(rows * columns)]
    return figure, axes


def log_axis(
    axes: Axes, which: str, low: float, high: float, label: str, text: Callable[[float], str] = short
) -> None:
    """Make an axis logarithmic, with as many round ticks as fit beside each other. `which`: x or y."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    getattr(axes, f"set_{which}scale")("log")
    getattr(axes, f"set_{which}lim")(low, high)
    getattr(axes, f"set_{which}label")(label)
    box = axes.get_window_extent()  # before the layout takes its margins
    length, apart = (box.width, 0.75) if which == "x" else (box.height, 0.5)
    ticks = log_ticks(low, high, int(np.clip(length / axes.figure.dpi / apart, 3, 7)))
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter([text(t) for t in ticks]))
    axis.set_minor_locator(NullLocator())


def legend_above(figure: Figure, axes: Sequence[Axes], title: str = "") -> None:
    """One legend for all axes, over them, in as many columns as the figure is wide for."""
    named = {
        label: handle
        for each in axes
        for handle, label in zip(*each.get_legend_handles_labels(), strict=True)
    }
    if named:
        inches = 0.45 + 0.062 * max(map(len, named))  # of an entry: its key, and letters at 8 points
        columns = int(np.clip((figure.get_figwidth() - 0.6) / inches, 1, len(named)))
        figure.legend(
            list(named.values()), list(named), loc="outside upper left", title=title or None,
            ncols=columns, alignment="left", handlelength=1.6, columnspacing=1.4,
        )  # fmt: skip
