"""The figure of docs/laws-measured/training-bits.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from isoflop.analysis import FitOptions, fit, load_runs
from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas, log_axis

PLAIN_FILE = {"Software": None}
"""No version of the drawing program in the file: equal pictures are equal files."""
TABLE = "measured:training-bits"
BITS = {4: NEUTRAL, 3: INK, 2: ACCENT}
"""Colours by the bits of the weights."""
WIDTHS = {8: "o", 16: "s", 24: "^"}
"""Markers by width."""
GAMMA = 2.6745
"""Kumar et al. (2024), of weights; bits."""


def shares(frame: Any) -> tuple[Any, Any]:
    """The share of its parameters that a run in few bits is worth, a row a run; and of all runs of its bits.

    By Chinchilla's law, of which A alone differs by bits: a run is worth as many parameters as one in full
    precision that loses as much more than the law's own.
    """
    options = FitOptions(law="chinchilla", by="weight_bits", share=("E", "alpha", "B", "beta"), bootstrap=0)
    law = fit(load_runs(TABLE), options).params
    few = frame[frame["weight_bits"] > 0].copy()
    full = frame[frame["weight_bits"] == 0].set_index(["d_model", "budget", "init_seed"])["loss"]
    few["rise"] = (
        few["loss"].to_numpy()
        - full.loc[list(zip(few["d_model"], few["budget"], few["init_seed"], strict=True))].to_numpy()
    )
    term = law["A[0]"] * few["n_params_non_embedding"] ** -law["alpha"]
    few["share"] = (1 + few["rise"] / term) ** (-1 / law["alpha"])
    return few, {bits: (law[f"A[{bits}]"] / law["A[0]"]) ** (-1 / law["alpha"]) for bits in BITS}
