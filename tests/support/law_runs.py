"""Runs on a law's own surface, whatever it predicts and whatever columns it needs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from isoflop.analysis import find_law
from isoflop.analysis.laws.evaluate import evaluate


def runs_of(name: str, params: np.ndarray, design: pd.DataFrame, sd: float, seed: int = 0) -> pd.DataFrame:
    """The design's runs with the law's target as a column, times log-normal noise `sd`.

    `design`: `n_params`, `n_tokens` and the columns of the law's covariates.
    """
    law = find_law(name)
    frame = design.assign(flops=6 * design["n_params"] * design["n_tokens"])
    columns = ["n_params", "n_tokens", *(covariate.column for covariate in law.covariates)]
    values = evaluate(law, params, *(frame[column].to_numpy(dtype=float) for column in columns))
    noise = np.exp(sd * np.random.default_rng([seed, 17]).standard_normal(len(frame)))
    return frame.assign(**{law.target: values * noise})


def crossed(**columns: np.ndarray) -> pd.DataFrame:
    """Every combination of the columns' values."""
    grid = np.meshgrid(*columns.values(), indexing="ij")
    return pd.DataFrame({name: values.ravel() for name, values in zip(columns, grid, strict=True)})
