"""Numbers that no language model has: columns swapped, another measure than a loss, other units."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from isoflop.analysis.columns.metrics import CHOSEN, FALLING
from isoflop.analysis.tables.cells import as_floats

SMALLEST = 1e3
"""A table whose every N, or every D, is below this looks as if it counted in millions."""
FAR_APART = 30.0
"""No counting of parameters or of attention makes 6ND and the table's FLOPs differ by this factor."""
SWAPPED = 0.1
"""Tokens per parameter below which a table looks as if the two were swapped, where almost every run ..."""
MOST = 0.8
"""... has fewer tokens than parameters: this share."""
HIGHEST = 20.0
"""A loss above this, in nats, is none: the uniform loss over a million tokens is 13.8."""
LOWEST = 0.05
"""A loss below this, in nats, is none: 0.07 bits per token, and no text is that predictable."""
ENOUGH = 4
"""Different values from which a rank correlation is no accident of two or three."""


def doubts(
    frame: pd.DataFrame,
    N_R: np.ndarray,
    D_R: np.ndarray,
    C_R: np.ndarray,
    loss_R: np.ndarray,
    metric: str,
    target: str,
) -> list[str]:
    """What the magnitudes say against the table, R runs: parameters, tokens, FLOPs, nats; a line each.

    `metric`: the column that is fitted; of others than the loss only the direction is judged, where what the
    law predicts, `target`, is to fall.
    """
    found = [*_counts(N_R, D_R, C_R), *_swap(N_R, D_R)]
    if metric == "loss":
        return [*found, *_loss(C_R, loss_R), *_untrained(frame, loss_R)]
    if target in FALLING and metric not in CHOSEN and _rises(C_R, loss_R):
        found.append(f"{metric} rises with compute: a law is of what falls, as a loss or an error does")
    return found


def _counts(N_R: np.ndarray, D_R: np.ndarray, C_R: np.ndarray) -> list[str]:
    """Signs that a column is in other units than single parameters, tokens and FLOPs."""
    found = [
        f"{name} is below {SMALLEST:g} in every row: if it counts in millions or billions, let the column's "
        f"name say so ({example}_M, {example}_B), or --columns {name}_M=..."
        for name, example, values in (("n_params", "params", N_R), ("n_tokens", "tokens", D_R))
        if np.all(values < SMALLEST)
    ]
    ratio = float(np.exp(np.median(np.log(C_R) - np.log(6.0) - np.log(N_R) - np.log(D_R))))
    if not 1 / FAR_APART < ratio < FAR_APART:
        found.append(
            f"flops is {ratio:.2g} times 6ND (median): a units mistake in n_params, n_tokens or flops?"
        )
    return found


def _swap(N_R: np.ndarray, D_R: np.ndarray) -> list[str]:
    ratio_R = np.exp(np.log(D_R) - np.log(N_R))
    if np.mean(ratio_R < 1.0) < MOST or np.median(ratio_R) >= SWAPPED:
        return []
    return [
        f"n_tokens is {np.median(ratio_R):.2g} times n_params (median), fewer tokens than parameters in "
        f"{int(np.sum(ratio_R < 1.0))} of {len(ratio_R)} runs: are the two swapped? Choose them with "
        "--columns n_params=...,n_tokens=..."
    ]


def _loss(C_R: np.ndarray, loss_R: np.ndarray) -> list[str]:
    typical = float(np.median(loss_R))
    if typical > HIGHEST:
        return [
            f"the loss is {typical:.3g} (median), which no language model has in nats: a perplexity? Say so "
            "with --columns loss_ppl=..., and its logarithm is taken; a sum over tokens is no loss"
        ]
    if typical < LOWEST:
        return [
            f"the loss is {typical:.3g} (median), which no language model has in nats: choose the loss per "
            "token with --columns loss=..."
        ]
    if loss_R.max() <= 1.0 and _rises(C_R, loss_R):
        return [
            "the loss lies between 0 and 1 and rises with compute: an accuracy? Choose the loss with "
            "--columns loss=..."
        ]
    return []


def _rises(C_R: np.ndarray, loss_R: np.ndarray) -> bool:
    """Whether more compute goes with a higher loss, by rank correlation."""
    if len(np.unique(C_R)) < ENOUGH or len(np.unique(loss_R)) < ENOUGH:
        return False
    ranks = pd.DataFrame({"C": C_R, "loss": loss_R}).rank()
    return float(np.corrcoef(ranks["C"], ranks["loss"])[0, 1]) > 0.5


def _untrained(frame: pd.DataFrame, loss_R: np.ndarray) -> list[str]:
    """Runs that are worse than guessing each token of their vocabulary alike."""
    if "vocab_size" not in frame.columns:
        return []
    with np.errstate(invalid="ignore", divide="ignore"):
        uniform_R = np.log(as_floats(frame, "vocab_size"))
    worse = loss_R > uniform_R
    if not worse.any():
        return []
    least = float(uniform_R[worse].min())
    return [
        f"{int(worse.sum())} of {len(loss_R)} runs have a loss above that of guessing every token alike "
        f"({least:.3g} nats, ln {math.exp(least):.0f}): they learned nothing; leave them out"
    ]
