"""The figure of docs/laws-measured/emergence.md, and the holdouts that it tells of."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from isoflop.analysis import fit, load_runs
from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas, log_axis

TABLE = Path(__file__).parents[1] / "results" / "emergence" / "exact-match.csv"
CHANCE = math.log(23) / 2
"""What a policy that draws values uniformly loses, nats per token."""
SIZES = {16: NEUTRAL, 24: SOFT, 32: INK, 48: ACCENT}
"""Colours by width."""
CHAINS = {1: NEUTRAL, 2: SOFT, 4: INK, 8: ACCENT}
"""Colours by length of chain."""


HOLDOUTS = {"d_model<48": "d_model >= 48", "budget<5e10": "budget >= 5e10"}
"""By the runs that laws are fitted to, those that they predict."""
FITTED = {
    "gadre_error": "accuracy<0.97",
    "flp": "accuracy>0",
    "bhagia": "accuracy>0",
    "flp_mixture_accuracy": "accuracy>0",
}
"""By law, the scores that it is fitted to: only those that are positive can be, or only such errors."""
PLAIN: Any = {"bootstrap": 0, "starts": 48}


def draw() -> Figure:
    """Draw loss and exact match by compute, a line a seed, and exact match by accuracy per token."""
    table: Any = pd.read_csv(TABLE)
    longest = table[table["chain"] == max(CHAINS)]
    figure, (loss, match, link) = canvas(10.5, 3.6, columns=3)
    for width, colour in SIZES.items():
        runs = longest[longest["d_model"] == width]
        for seed, trained in runs.groupby("init_seed"):
            name = None if seed else f"width {width}"
            for axes, column in ((loss, "loss"), (match, "accuracy")):
                axes.plot(trained["budget"], trained[column], "-o", color=colour, ms=3, lw=1.2, label=name)
    loss.axhline(CHANCE, color=SOFT, lw=0.9, ls=":")
    loss.text(1.75e11, CHANCE * 1.15, "values drawn uniformly", color=SOFT, fontsize=7, ha="right")
    log_axis(loss, "y", 1e-4, 4, "loss of answers, nats per token", "{:g}".format)
    match.set_ylabel("exact match of 8 values")
    for axes in (loss, match):
        log_axis(axes, "x", 9e9, 1.8e11, "training FLOPs", "{:.0e}".format)
    loss.legend(fontsize=7, frameon=False, loc="lower left")
    line = np.array([0.0, 1.0])
    link.plot(line, line, ":", color=SOFT, lw=1)
    for chain, colour in CHAINS.items():
        runs = table[table["chain"] == chain]
        by_accuracy = runs["token_accuracy"] ** runs["tokens"]
        link.plot(by_accuracy, runs["accuracy"], "o", color=colour, ms=3.5, label=f"{2 * chain} tokens")
    by_loss = np.exp(-longest["tokens"] * longest["loss"])
    link.plot(by_loss, longest["accuracy"], "x", color=ACCENT, ms=4, label="16, by exp(-n loss)")
    link.set_xlabel("accuracy per token, to the power of tokens")
    link.set_ylabel("exact match")
    link.legend(fontsize=7, frameon=False, loc="lower right")
    return figure


def holdouts() -> pd.DataFrame:
    """The mean error of the exact match of eight values that laws, fitted to smaller models, predict of the
    larger ones: from their measured losses, and from a loss that a law of the first step predicts."""
    table: Any = pd.read_csv(TABLE)
    rows = []
    for fitted, held in HOLDOUTS.items():
        larger = table[table["chain"] == max(CHAINS)].query(held)
        N, D, C = (larger[x].to_numpy(float) for x in ("n_params_non_embedding", "n_tokens", "flops"))
        losses = {"": larger["loss"].to_numpy()}
        for law, inputs in {"chinchilla": (N, D), "caballero": (N, D, C)}.items():
            runs = load_runs(TABLE, law=law, where=f"chain=8,{fitted}")
            losses[law] = np.asarray(fit(runs, law=law, fix=("E=0",), **PLAIN).predict(*inputs))
        for law in FITTED:
            inputs_of = {first: (loss,) for first, loss in losses.items()}
            if law == "flp_mixture_accuracy":
                inputs_of = {"": (larger["loss_sums"].to_numpy(), larger["loss_products"].to_numpy())}
            for first, score in second_step(law, fitted, inputs_of).items():
                error = np.abs(score - larger["accuracy"]).mean()
                rows.append({"fitted": fitted, "loss": first or "measured", "law": law, "error": error})
    return pd.DataFrame(rows)


def second_step(law: str, fitted: str, inputs: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    """The exact match that a law, fitted to some of the models, gives at each of several inputs by name."""
    runs = load_runs(
        TABLE,
        law=law,
        where=f"chain=8,{FITTED[law]},{fitted}",
        columns={"loss_1": "loss_sums", "loss_2": "loss_products"} if "mixture" in law else None,
        metric="accuracy" if law == "gadre_error" else "loss",
    )
    found = fit(runs, law=law, space="raw", loss="mse", **PLAIN)
    scores = {name: np.asarray(found.predict(1.0, 1.0, *given)) for name, given in inputs.items()}
    return {name: 1 - x for name, x in scores.items()} if law == "gadre_error" else scores
