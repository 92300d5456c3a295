"""Draw the figure of docs/serving.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from docs.figure_file import save
from isoflop.analysis import ForecastOptions, find_device, forecast
from isoflop.analysis.costs.architectures.public_models import find_model
from isoflop.analysis.costs.serving import Replica, serving_point
from isoflop.analysis.figures.style import ACCENT, INK, canvas, log_axis

MEASURED = Path(__file__).parent / "results" / "serving" / "tensorrt-llm.csv"


def draw_serving(folder: Path) -> None:
    """Draw time per token and rate against the batch, and measured rates against forecast ones."""
    figure, (times, rates, against) = canvas(width=10.0, height=3.4, columns=3)
    found = forecast("llama-3-8b", only="serving", batch=[2**k for k in range(9)]).serving
    assert found is not None
    batches = [point.batch for point in found.points]
    for axes, field, scale, title in (
        (times, "tpot", 1e3, "Milliseconds a token"),
        (rates, "tokens_per_second", 1.0, "Output tokens a second"),
    ):
        estimates = [getattr(point, field) for point in found.points]
        low, expected, high, bound = (
            [getattr(each, name) * scale for each in estimates]
            for name in ("low", "expected", "high", "roofline")
        )
        log_axis(axes, "x", 1, 256, "Requests in flight")
        log_axis(axes, "y", min(low + bound) / 1.3, max(high + bound) * 1.3, title)
        axes.fill_between(batches, low, high, color=ACCENT, alpha=0.18, lw=0, label="range")
        axes.plot(batches, expected, color=ACCENT, lw=1.8, label="expected")
        axes.plot(batches, bound, color=INK, lw=1.2, ls="--", label="roofline")
    times.legend(fontsize=8, frameon=False)
    _draw_measured(against)
    save(figure, folder / "serving.png", dpi=200)


def _draw_measured(axes: Axes) -> None:
    """Draw published rates against forecast ones, and print how far they are apart."""
    table = pd.read_csv(MEASURED)
    rates = np.array([_expected_rate(row) for row in table.itertuples()])
    ratios = table["tokens_per_second"].to_numpy() / rates
    log_axis(axes, "x", 200, 4e4, "Expected tokens/s")
    log_axis(axes, "y", 200, 4e4, "Measured tokens/s")
    line = np.array([200, 4e4])
    axes.fill_between(line, line * 0.7, line * 1.3, color=ACCENT, alpha=0.18, lw=0)
    axes.plot(line, line, color=ACCENT, lw=1.2)
    for devices, marker in ((1, "o"), (2, "s"), (8, "^")):
        rows = table["devices"].to_numpy() == devices
        many = f"{devices} GPU{'s' if devices > 1 else ''}"
        axes.plot(rates[rows], rates[rows] * ratios[rows], marker, color=INK, ms=3, label=many)
        print(
            f"serving, {many}: measured over expected {ratios[rows].min():.2f} to {ratios[rows].max():.2f}, "
            f"median {np.median(ratios[rows]):.2f}, {(abs(ratios[rows] - 1) < 0.3).sum()} of {rows.sum()} in "
            "the range"
        )
    axes.legend(fontsize=8, frameon=False)


def _expected_rate(row: Any) -> float:
    """Of a measured row, as docs/results/serving says."""
    options = ForecastOptions(weights="fp8", kv="fp8", output=row.output, memory_fraction=0.95)
    server = Replica.of(find_model(row.model), find_device(row.device), row.devices, options)
    batch = min(server.largest_batch(row.prompt + row.output / 2), 2048)
    return serving_point(server, row.prompt, batch, options).tokens_per_second.expected
