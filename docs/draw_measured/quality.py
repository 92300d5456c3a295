"""The figure of docs/laws-measured/quality.md, and the clean tokens that spoilt ones are worth."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from isoflop.analysis import FitOptions, LawFit, fit, load_runs
from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas, log_axis

QUALITY = "measured:quality"
CLEAN = "wiki-intro"
SPOILT = re.compile(r"damaged:([a-z]+)=(\d*\.?\d+):.*")
KINDS = {
    "noise": (ACCENT, "noise"),
    "shuffle": (INK, "shuffled words"),
    "duplicates": (NEUTRAL, "duplicates"),
}
"""By kind, its colour and its name in the figure."""


def clean_law() -> LawFit:
    """The loss by tokens on the text as it is."""
    return fit(load_runs(QUALITY, where=f"data={CLEAN}"), FitOptions(law="hestness", bootstrap=0))


def worth() -> pd.DataFrame:
    """The spoilt runs: `kind`, `share` of documents that are spoilt, `n_tokens`, `loss`, and `ratio`, of the
    clean tokens that give the same loss by the clean law to those trained on."""
    law = clean_law()
    frame = load_runs(QUALITY).frame
    runs = frame[frame["data"] != CLEAN].copy()
    runs[["kind", "share"]] = runs["data"].str.extract(SPOILT)
    runs["share"] = runs["share"].astype(float)
    E, B, beta = (float(law.params[name] or 0.0) for name in ("E", "B", "beta"))
    above = runs["loss"] - E
    runs["ratio"] = (B / above) ** (1 / beta) / runs["n_tokens"]
    return runs


def draw() -> Figure:
    """Draw the loss by tokens on clean and spoilt text, and the worth of spoilt tokens."""
    law, runs = clean_law(), worth()
    clean = load_runs(QUALITY, where=f"data={CLEAN}").frame
    figure, (losses, ratios) = canvas(9.0, 3.8, columns=2)
    losses.plot(clean["n_tokens"], clean["loss"], "o", color=SOFT, ms=4, label="as it is")
    D = np.geomspace(clean["n_tokens"].min() / 2, clean["n_tokens"].max(), 100)
    losses.plot(D, law.predict(np.full_like(D, clean["n_params_non_embedding"].iloc[0]), D), color=SOFT)
    for kind, (colour, name) in KINDS.items():
        own = runs[(runs["kind"] == kind) & (runs["share"] == 0.5)]
        losses.plot(own["n_tokens"], own["loss"], "s", color=colour, ms=4, label=f"half of it {name}")
        longest = runs[(runs["kind"] == kind) & (runs["n_tokens"] == runs["n_tokens"].max())]
        ratios.plot(longest["share"], longest["ratio"], "s", color=colour, ms=4, label=name)
    log_axis(losses, "x", D[0], 8e5, "training tokens", "{:,.0f}".format)
    losses.set_ylabel("held-out loss on clean text, nats per byte")
    losses.legend(fontsize=8, frameon=False)
    ratios.plot([0, 1], [1, 0], ":", color=SOFT, lw=1.2)
    ratios.text(0.62, 0.42, "only good text counts", color=SOFT, fontsize=8)
    ratios.set_xlim(0, 1)
    ratios.set_ylim(0, 1.1)
    ratios.set_xlabel("share of documents that are spoilt")
    ratios.set_ylabel("clean tokens that do as well, over tokens")
    ratios.legend(fontsize=8, frameon=False, loc="lower left")
    return figure
