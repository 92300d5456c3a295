"""One look for every figure: colours by budget, ticks that can be read, quiet axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

if TYPE_CHECKING:
    from isoflop.analysis.conventions import Conventions

INK = "#1d2433"
SOFT = "#5d6678"
GRID = "#e6e8ee"
ACCENT = "#b4411f"
"""Predictions and the fitted law's frontier."""
NEUTRAL = "#9aa1af"
EQUAL = "#6b7383"
"""Lines of equal compute."""
LOSS_SCALE = ("#7f9fc6", "#a9bfda", "#d5e0ec", "#f7f9fb")
"""From a low loss to a high one."""
FONT = "Inter, 'Helvetica Neue', Helvetica, 'Liberation Sans', Arial, sans-serif"
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
    "figure.facecolor": "white",
    "pdf.fonttype": 42,
}
SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


CURVES = {
    "parabola": "parabolas in log N by least squares",
    "akima": "Akima interpolants of log loss in log N",
    "argmin": "straight lines from size to size, so the run of least loss",
}


def curve_words(curve: str) -> str:
    """What an entry of `FitOptions.curve` draws through a budget's runs."""
    return CURVES[curve]


def budget_colours(count: int) -> list[str]:
    """One colour a budget, dark to light with compute, told apart by colour-blind readers too."""
    scale = matplotlib.colormaps["viridis"]
    return [to_hex(scale(x)) for x in (np.linspace(0.02, 0.86, count) if count > 1 else [0.3])]


def dark_colours() -> dict[str, str]:
    """What each colour of a figure's JSON becomes on a dark page; `faded` ones by how they begin."""
    plain = {
        INK: "#e4e7ee", SOFT: "#a3abba", GRID: "#2a2f3b", ACCENT: "#f0835c", NEUTRAL: "#7d8596",
        "white": "#14171e", EQUAL: "#9aa3b5",
        **dict(zip(LOSS_SCALE, ("#5b86bd", "#42618c", "#2b3d58", "#1b2331"), strict=True)),
    }  # fmt: skip
    scale = matplotlib.colormaps["viridis"]
    lut = [to_hex(scale(k)) for k in range(scale.N)]
    brighter = {light: lut[round(0.35 * (scale.N - 1) + 0.65 * k)] for k, light in enumerate(lut)}
    solid = brighter | {light: dark for light, dark in plain.items() if light != "white"}
    faint = {faded(light, 0)[:-2]: faded(dark, 0)[:-2] for light, dark in solid.items()}
    white = {'"white"': f'"{plain["white"]}"', "rgba(255,255,255,": faded(plain["white"], 0)[:-2]}
    return solid | faint | white


def faded(colour: str, alpha: float) -> str:
    """`#rrggbb` as an rgba() that plotly takes."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def short(x: float) -> str:
    """A count for people: 12.3k, 4.5M, 70B."""
    for size, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(x) >= size * 0.9995:
            return f"{x / size:.3g}{suffix}"
    return f"{x:.3g}"


def power(x: float) -> str:
    """FLOPs for people: 1.3×10¹²."""
    exponent = int(f"{x:.1e}".partition("e")[2])
    mantissa = f"{x / 10.0**exponent:.2g}"
    tens = "10" + str(exponent).translate(SUPERSCRIPT)
    return tens if mantissa == "1" else f"{mantissa}×{tens}"


def loss_unit(conventions: Conventions) -> str:
    """The unit of a fit's or table's losses: `nats per token`, `nats per byte`, ..., or `as given`."""
    return conventions.loss_unit or "as given"


def nats(conventions: Conventions) -> str:
    """The unit after a difference of losses, with a space before it; empty where it is not known."""
    return " nats" if loss_unit(conventions).startswith("nats") else ""


def log_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Round values between `low` and `high`: 1-2-5 steps, or whole decades where those would crowd."""
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    for steps in ((1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**k for k in range(first, last + 1) for m in steps]
        ticks = [t for t in ticks if low * 0.999 <= t <= high * 1.001]
        if len(ticks) <= most:
            return ticks
    stride = int(np.ceil(len(ticks) / most))
    return ticks[::stride]


def spread(values: Sequence[float] | np.ndarray, margin: float = 0.06) -> tuple[float, float]:
    """The range of positive values with a margin, in log."""
    x = np.log(np.asarray(values, dtype=float))
    pad = max(margin * float(np.ptp(x)), 0.03)
    return float(np.exp(x.min() - pad)), float(np.exp(x.max() + pad))


def canvas(width: float = 7.4, height: float = 4.5, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure with axes side by side, inches, without touching matplotlib's global state."""
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = [figure.add_subplot(1, columns, k + 1) for k in range(columns)]
    return figure, axes


NewAxes = Callable[..., tuple[Figure, list[Axes]]]
"""What gives a figure its axes, `canvas` or another of its signature."""


def log_axis(
    axes: Axes, which: str, low: float, high: float, label: str, text: Callable[[float], str] = short
) -> None:
    """Logarithmic, with readable ticks. `which`: x or y."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    getattr(axes, f"set_{which}scale")("log")
    getattr(axes, f"set_{which}lim")(low, high)
    getattr(axes, f"set_{which}label")(label)
    ticks = log_ticks(low, high, 6)
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter([text(t) for t in ticks]))
    axis.set_minor_locator(NullLocator())


def layout(height: int = 460, **changes: Any) -> dict[str, Any]:
    """Plotly's layout in the page's look; the width is the container's."""
    base: dict[str, Any] = {
        "height": height,
        "autosize": True,
        "template": None,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13, "color": INK},
        "margin": {"l": 64, "r": 24, "t": 16, "b": 58},
        "hoverlabel": {"font": {"family": FONT, "size": 12}, "bgcolor": "white", "bordercolor": NEUTRAL},
        "legend": {"font": {"size": 12}, "bgcolor": "rgba(255,255,255,0.75)", "tracegroupgap": 4},
        "hovermode": "closest",
    }
    return {**base, **changes}


def plain(label: str, **changes: Any) -> dict[str, Any]:
    """A linear plotly axis."""
    base = {
        "title": {"text": label, "standoff": 10, "font": {"size": 13}},
        "gridcolor": GRID,
        "linecolor": NEUTRAL,
        "tickcolor": NEUTRAL,
        "tickfont": {"size": 12, "color": SOFT},
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "zeroline": False,
        "automargin": True,
    }
    return {**base, **changes}


def logarithmic(
    label: str, low: float, high: float, text: Callable[[float], str] = short, **changes: Any
) -> dict[str, Any]:
    """A logarithmic plotly axis with readable ticks."""
    ticks = log_ticks(low, high, 7)
    return plain(
        label,
        type="log",
        range=[float(np.log10(low)), float(np.log10(high))],
        tickvals=ticks,
        ticktext=[text(t) for t in ticks],
        **changes,
    )


def band(
    x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, alpha: float, **changes: Any
) -> go.Scatter:
    """A filled band, plotly."""
    return go.Scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        fillcolor=faded(colour, alpha),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        **changes,
    )
