"""The figure of docs/laws-measured/serving.md."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isoflop.analysis import Timings, load_timings
from isoflop.analysis.costs.estimate import SPREAD
from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas, log_axis

TABLE = Path(__file__).parents[1] / "results" / "serving-measured" / "serving.csv"
WIDTHS = ((48, ACCENT), (128, NEUTRAL), (384, INK))
MARKERS = {"fp32": "o", "bf16": "s", "int8": "^"}
LARGEST, BATCH = 384, 16
"""Of the models, and of the batches."""


def draw() -> Figure:
    """Draw the times of both phases against their rooflines, and a decode step's against the context."""
    timings = load_timings(TABLE)
    figure, (prefill, decode, context) = canvas(10.5, 3.6, columns=3)
    for axes, phase, title in ((prefill, "prefill", "prefill"), (decode, "decode", "a decode step")):
        _against_roofline(axes, timings, phase, title)
    _by_context(context, timings)
    return figure


def _against_roofline(axes: Axes, timings: Timings, phase: str, title: str) -> None:
    found = timings.of_phase(phase)
    ends = [x.forecast.roofline * 1e3 for x in found] + [x.seconds * 1e3 for x in found]
    low, high = min(ends) / 2, max(ends) * 2
    line = [low, high]
    axes.plot(line, line, "--", color=SOFT, lw=1, label="roofline of memory")
    for width, colour in WIDTHS:
        for weights, marker in MARKERS.items():
            own = [x for x in found if x.d_model == width and x.weights == weights]
            axes.plot(
                [x.forecast.roofline * 1e3 for x in own],
                [x.seconds * 1e3 for x in own],
                marker,
                color=colour,
                ms=4,
                label=f"width {width}" if weights == "fp32" else None,
            )
            if weights == "fp32":
                for x in own:
                    reach = [x.forecast.low * 1e3, x.forecast.high * 1e3]
                    axes.plot([x.forecast.roofline * 1e3] * 2, reach, color=colour, alpha=0.35, lw=4)
    log_axis(axes, "x", low, high, f"roofline of {title}, ms", "{:g}".format)
    log_axis(axes, "y", low, high, "measured, ms", "{:g}".format)
    if phase == "prefill":
        axes.legend(fontsize=8, frameon=False, loc="upper left")
    else:
        for marker, name in ((MARKERS[weights], weights) for weights in MARKERS):
            axes.plot([], [], marker, color=SOFT, ms=4, label=name)
        named = [line for line in axes.get_lines() if line.get_label() in MARKERS]
        axes.legend(handles=named, fontsize=8, frameon=False, loc="upper left")
    axes.text(high / 1.3, low * 1.3, f"bars: fp32's range, ±{SPREAD:.0%}", color=SOFT, fontsize=7, ha="right")


def _by_context(axes: Axes, timings: Timings) -> None:
    own = [x for x in timings.of_phase("decode") if x.d_model == LARGEST and x.batch == BATCH]
    for weights, colour in (("fp32", INK), ("bf16", NEUTRAL), ("int8", ACCENT)):
        of_format = [x for x in own if x.weights == weights]
        prompts = [x.prompt for x in of_format]
        axes.plot(
            prompts,
            [x.seconds * 1e3 for x in of_format],
            MARKERS[weights] + "-",
            color=colour,
            ms=4,
            label=weights,
        )
        axes.plot(prompts, [x.forecast.roofline * 1e3 for x in of_format], "--", color=colour, lw=1)
    axes.set_ylim(0)
    axes.set_xlabel("tokens of the prompt")
    axes.set_ylabel(f"ms a step, width {LARGEST}, batch {BATCH}")
    axes.legend(fontsize=8, frameon=False, title="dashed: roofline", title_fontsize=7)
