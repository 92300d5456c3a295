"""The figure of docs/laws-measured/mixture.md, and how the laws predict shares left out of their fits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from isoflop.analysis import FitOptions, LawFit, fit, load_runs
from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas

MIXTURE = "measured:mixture"
DOMAINS = {"English": "wiki_intro", "French": "wiki_intro_fr"}
"""By language, how columns name its text: `share_NAME`, `loss_NAME`."""
WIDTHS = (16, 24)
LARGEST_BUDGET = 1e11


class Error(NamedTuple):
    """What three ways miss a share by that they were not fitted to: measured less predicted, in nats."""

    width: int
    language: str
    share: float
    between: bool
    """Whether the share lies between others, and not beyond them."""
    mixture: float
    bimix: float
    linear: float


def domain(language: str, where: str, law: str) -> tuple[pd.DataFrame, LawFit]:
    """The runs of `where`, with a language's share as `share`, and a law of the loss on it."""
    name = DOMAINS[language]
    runs = load_runs(MIXTURE, columns={"share": f"share_{name}"}, metric=f"loss_{name}", where=where)
    return runs.frame, fit(runs, FitOptions(law=law, bootstrap=0))


def errors(width: int, language: str) -> list[Error]:
    """The misses on a language at the largest budget of a width, each share left out in turn: `mixture` is
    fitted to the runs of that budget, `bimix` to those of all three, and the straight line goes through the
    neighbours, or beyond them through the nearest two."""
    name, at_budget = DOMAINS[language], f"budget={LARGEST_BUDGET:.0f}"
    runs = load_runs(MIXTURE, where=f"d_model={width},{at_budget}").frame
    means = runs.groupby(f"share_{name}")[f"loss_{name}"].mean()
    shares, losses = means.index.to_numpy(), means.to_numpy()
    N, D = (runs[column].iloc[:1].to_numpy(float) for column in ("n_params_non_embedding", "n_tokens"))
    last, found = len(shares) - 1, []
    for i, share in enumerate(shares):
        near = {0: [1, 2], last: [last - 2, last - 1]}.get(i, [i - 1, i + 1])
        slope, level = np.polyfit(shares[near], losses[near], 1)
        where = f"d_model={width},share!={share}"
        laws = domain(language, f"{where},{at_budget}", "mixture")[1], domain(language, where, "bimix")[1]
        mixture, bimix = (float(law.predict(N, D, np.array([share]))[0]) for law in laws)
        misses = (float(losses[i] - predicted) for predicted in (mixture, bimix, slope * share + level))
        found.append(Error(width, language, float(share), 0 < i < last, *misses))
    return found


def draw() -> Figure:
    """Draw the loss on each language by its share, with the laws."""
    figure, axes = canvas(9.0, 3.8, columns=2)
    for axis, language in zip(axes, DOMAINS, strict=True):
        for width, colour in zip(WIDTHS, (ACCENT, INK), strict=True):
            at_budget = f"d_model={width},budget={LARGEST_BUDGET:.0f}"
            runs, mixture = domain(language, at_budget, "mixture")
            _, bimix = domain(language, f"d_model={width}", "bimix")
            name = f"{runs['n_params_non_embedding'].iloc[0] / 1e3:.0f} thousand parameters"
            axis.plot(runs["share"], runs["loss"], "o", color=colour, ms=4, label=name)
            r = np.linspace(0.05, 1, 200)
            N, D = (np.full_like(r, runs[c].iloc[0]) for c in ("n_params_non_embedding", "n_tokens"))
            axis.plot(r, mixture.predict(N, D, r), color=colour, lw=1.2)
            axis.plot(r, bimix.predict(N, D, r), "--", color=NEUTRAL, lw=1.2)
        axis.set_xlabel(f"share of the training text that is {language}")
        axis.set_ylabel(f"held-out loss on {language}, nats per byte")
        axis.set_xlim(0, 1)
    axes[0].legend(fontsize=8, frameon=False, loc="upper right")
    text = "lines: mixture (Ye et al.)\ndashed: bimix (Ge et al.)"
    axes[1].text(0.97, 0.95, text, color=SOFT, fontsize=8, ha="right", va="top", transform=axes[1].transAxes)
    return figure
