"""Learning rates: what was tried at each width, what was chosen, and the rule that carries it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from isoflop.analysis.figures.figure_data import FigureData, Hover, Size
from isoflop.analysis.figures.style import budget_colours, log_axis, spread

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Width:
    """Rates tried at one width, ascending, and the loss of each above the lowest (nats); the rule's rate
    where known.
    """

    width: float
    rate_K: np.ndarray
    above_K: np.ndarray
    rule: float | None


@dataclass(frozen=True)
class Tuning(FigureData):
    """Every width that was tuned. `rule`: in words; `at_edge`: widths whose best rate was the last tried."""

    title = "Learning-rate tuning"
    widths: tuple[Width, ...]
    rule: str
    at_edge: tuple[int, ...]

    @classmethod
    def of(cls, tuning: pd.DataFrame | None, rule: Mapping[str, Any] | None) -> Tuning | None:
        """Make it from a sweep's tuning table and its rule of learning rates; None without rates."""
        if tuning is None or not {"lr", "d_model", "loss"} <= set(tuning.columns):
            return None
        rule = rule or {}
        c, p = rule.get("c"), rule.get("p")
        widths = []
        for width, rows in tuning.groupby("d_model"):
            width, rate_R, loss_R = float(str(width)), np.asarray(rows["lr"], dtype=float), rows["loss"]
            rate_K, place_R = np.unique(rate_R, return_inverse=True)
            loss_K = np.bincount(place_R, loss_R) / np.bincount(place_R)
            at_rule = None if c is None or p is None else c * width**-p
            widths.append(Width(width, rate_K, loss_K - loss_K.min(), at_rule))
        edges = tuple(anchor["d_model"] for anchor in rule.get("anchors", []) if anchor.get("at_edge"))
        return cls(tuple(widths), _rule_words(rule), edges)

    @property
    def size(self) -> Size:
        return Size(height=3.9)

    @property
    def caption(self) -> str:
        rule = f" Rule carried to the grid: {self.rule}." if self.rule else ""
        edges = ", ".join(map(str, self.at_edge))
        ruled = any(width.rule is not None for width in self.widths)
        ticks = "; vertical ticks mark the rule's rate" if ruled else ""
        return (
            "Loss on tuning windows (not the reported ones) against the peak learning rate, by width, above "
            f"each width's best{ticks}.{rule}"
            f"{f' At the edge of what was tried: width {edges}.' if edges else ''}"
        )

    @property
    def description(self) -> str:
        best = [
            f"width {w.width:g}: best of {len(w.rate_K)} rates {w.rate_K[np.argmin(w.above_K)]:.3g}"
            for w in self.widths
        ]
        return f"Loss above the best against learning rate. {'; '.join(best)}."

    def draw(self, axes: Sequence[Axes]) -> Hover:
        (ax,) = axes
        hover: Hover = []
        for colour, each in zip(budget_colours(len(self.widths)), self.widths, strict=True):
            name = f"width {each.width:g}"
            look = {"lw": 1.5, "ms": 5, "mec": "white", "mew": 0.6}
            (tried,) = ax.plot(each.rate_K, each.above_K, "o-", color=colour, label=name, **look)
            said = zip(each.rate_K, each.above_K, strict=True)
            hover.append((tried, [f"{name}, rate {rate:.4g}\n+{above:.4f} nats" for rate, above in said]))
            if each.rule is not None:
                (tick,) = ax.plot(
                    each.rule, 0, marker=3, color=colour, ms=9, mew=2, clip_on=False, zorder=5, label="_rule"
                )
                hover.append((tick, [f"{name}\nrule's rate {each.rule:.4g}"]))
        rules = [width.rule for width in self.widths if width.rule is not None]
        rates = np.concatenate([*(width.rate_K for width in self.widths), rules])
        log_axis(ax, "x", *spread(rates), "Peak learning rate", "{:g}".format)
        ax.set_ylabel("Loss above the width's best (nats)")
        return hover


def _rule_words(rule: Mapping[str, Any]) -> str:
    if rule.get("c") is None or rule.get("p") is None:
        return str(rule.get("rule") or "")
    exponent = -float(rule["p"])
    if not exponent:
        return f"rate = {rule['c']:.3g} at every width"
    return f"rate = {rule['c']:.3g} × width^{exponent:.3g}".replace("-", "−")
