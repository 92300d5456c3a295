"""Learning rates: what was tried at each width and token horizon, and the curves fitted to it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from isoflop.analysis.figures.figure_data import FigureData, Hover, Size
from isoflop.analysis.figures.style import budget_colours, log_axis, spread
from isoflop.base.formatting import short

BARS = 1.96
"""Standard deviations of a fitted best rate's bar, 95% of a normal."""


@dataclass(frozen=True)
class Place:
    """The runs of one width and horizon (tokens): rates, and losses above their level in nats, which is the
    fitted curve's least value or, where there is no fit, the lowest mean of a rate. `best`: the fitted best
    rate; `sd`: standard deviation of its logarithm; `curvature`: nats lost by a rate off by a factor e."""

    width: int
    tokens: float
    rate_R: np.ndarray
    above_R: np.ndarray
    best: float | None = None
    sd: float = 0.0
    curvature: float | None = None

    @classmethod
    def of(cls, place: tuple[int, float], rows: pd.DataFrame, tuned: Mapping[str, Any]) -> Place:
        """Make it from the rows of one place and a sweep's fitted rule, empty where there is none."""
        (width, tokens), curvature = place, tuned.get("curvature")
        rate_R, loss_R = np.asarray(rows["lr"], dtype=float), np.asarray(rows["loss"], dtype=float)
        anchors = [a for a in tuned.get("anchors", ()) if a["d_model"] == width]
        if not anchors or curvature is None:
            _, mean_K = _means(rate_R, loss_R)
            return cls(width, tokens, rate_R, loss_R - mean_K.min())
        # A run's tokens are whole steps, near the horizon that was asked for.
        anchor = min(anchors, key=lambda a: abs(math.log(a["n_tokens"] / tokens)))
        level = np.median(loss_R - curvature * np.log(rate_R / anchor["lr"]) ** 2)
        return cls(width, tokens, rate_R, loss_R - level, anchor["lr"], anchor["sd"], curvature)

    @property
    def name(self) -> str:
        """In a legend."""
        return f"width {self.width}, {short(self.tokens)} tokens"

    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Rates, ascending, and the mean of each one's runs."""
        return _means(self.rate_R, self.above_R)

    def curve(self, rate_K: np.ndarray) -> np.ndarray | None:
        """The fitted curve at some rates; None where there is no fit."""
        if self.best is None or self.curvature is None:
            return None
        return self.curvature * np.log(rate_K / self.best) ** 2

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the fitted best rate, 95%."""
        if self.best is None:
            return None
        return self.best * math.exp(-BARS * self.sd), self.best * math.exp(BARS * self.sd)


@dataclass(frozen=True)
class Tuning(FigureData):
    """Every width and horizon that was tuned. `rule`: in words; `at_edge`: those whose best rate lies at or
    beyond the last tried, in words."""

    title = "Learning-rate tuning"
    places: tuple[Place, ...]
    rule: str
    at_edge: tuple[str, ...]

    @classmethod
    def of(cls, tuning: pd.DataFrame | None, learning_rate: Mapping[str, Any] | None) -> Tuning | None:
        """Make it from a sweep's tuning table and its rule of learning rates; None without rates."""
        if tuning is None or not {"lr", "d_model", "n_tokens", "loss"} <= set(tuning.columns):
            return None
        finished = tuning[np.isfinite(tuning["loss"].astype(float))]
        if finished.empty:
            return None
        learning_rate = learning_rate or {}
        tuned = learning_rate.get("tuned") or {}
        places = [
            Place.of((int(str(width)), float(str(tokens))), pd.DataFrame(rows), tuned)
            for width, of_width in finished.groupby("d_model")
            for tokens, rows in of_width.groupby("n_tokens")
        ]
        edges = [
            f"width {anchor['d_model']} at {short(anchor['n_tokens'])} tokens"
            for anchor in tuned.get("anchors", ())
            if anchor.get("at_edge")
        ]
        return cls(tuple(places), str(learning_rate.get("rule") or ""), tuple(edges))

    @property
    def size(self) -> Size:
        return Size(height=3.9)

    @property
    def caption(self) -> str:
        fitted = any(place.best is not None for place in self.places)
        rule = f" Rule: rate = {self.rule}." if self.rule else ""
        return (
            "Loss on tuning windows (not the reported ones) against the peak learning rate, by width and "
            "tokens of the run. Small points are runs, large ones the means of a rate's seeds"
            + (
                "; the curves are one fit to all runs, and the bars its best rates with 95% intervals."
                if fitted
                else "."
            )
            + rule
            + (f" At the edge of what was tried: {'; '.join(self.at_edge)}." if self.at_edge else "")
        )

    @property
    def description(self) -> str:
        best = []
        for place in self.places:
            rate_K, mean_K = place.means()
            fit = f", fitted best {place.best:.3g}" if place.best is not None else ""
            best.append(f"{place.name}: best of {len(rate_K)} rates {rate_K[np.argmin(mean_K)]:.3g}{fit}")
        return f"Loss above the best against learning rate. {'; '.join(best)}."

    def draw(self, axes: Sequence[Axes]) -> Hover:
        (ax,) = axes
        hover: Hover = []
        for colour, place in zip(budget_colours(len(self.places)), self.places, strict=True):
            hover += _draw_place(ax, place, colour)
        ends = [place.interval for place in self.places if place.interval]
        rates = np.concatenate([*(place.rate_R for place in self.places), *ends])
        log_axis(ax, "x", *spread(rates), "Peak learning rate", "{:g}".format)
        ax.set_ylabel("Loss above the best (nats)")
        return hover


def _draw_place(ax: Axes, place: Place, colour: Any) -> Hover:
    rate_K, mean_K = place.means()
    look = {"ms": 5.5, "mec": "white", "mew": 0.6}
    ax.plot(place.rate_R, place.above_R, ".", color=colour, ms=4, alpha=0.5, label="_runs")
    (means,) = ax.plot(rate_K, mean_K, "o", color=colour, label=place.name, **look)
    said = [
        f"{place.name}, rate {rate:.4g}\n{mean:+.4f} nats" for rate, mean in zip(rate_K, mean_K, strict=True)
    ]
    fine_K = np.geomspace(rate_K[0], rate_K[-1], 60)
    curve_K = place.curve(fine_K)
    if curve_K is None or place.interval is None or place.best is None:
        ax.plot(rate_K, mean_K, "-", color=colour, lw=1.2, label="_line")
        return [(means, said)]
    ax.plot(fine_K, curve_K, "-", color=colour, lw=1.5, label="_curve")
    ax.plot(place.interval, (0, 0), "-", color=colour, lw=3, alpha=0.5, clip_on=False, label="_bar")
    (vertex,) = ax.plot(place.best, 0, "|", color=colour, ms=12, mew=2, clip_on=False, label="_best")
    low, high = place.interval
    return [(means, said), (vertex, [f"{place.name}\nbest rate {place.best:.4g} [{low:.3g}, {high:.3g}]"])]


def _means(rate_R: np.ndarray, loss_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rates, ascending, and the mean loss at each."""
    rate_K, place_R = np.unique(rate_R, return_inverse=True)
    return rate_K, np.bincount(place_R, loss_R) / np.bincount(place_R)
