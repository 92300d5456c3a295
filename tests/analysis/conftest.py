"""Shared tables: a simulated sweep's folder, its table, and the reference tables where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import RunTable, find_law, load_runs, table_of
from isoflop.analysis.laws.evaluate import evaluate
from tests.support import simulate
from tests.support.optional import lacking

BESIROGLU = np.array([1.8172, 482.01, 0.3478, 2085.43, 0.3658])
"""E, A, alpha, B, beta of Besiroglu et al. (2024), Chinchilla Scaling: A replication attempt, table 1."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated sweep's folder with everything in it."""
    return simulate.write_folder(tmp_path_factory.mktemp("sweep") / "simulated")


@pytest.fixture(scope="session")
def table(folder: Path) -> RunTable:
    """The simulated sweep's run table."""
    return load_runs(folder)


def spread_runs(R: int, sd: float, seed: int = 0, truth: np.ndarray = BESIROGLU) -> pd.DataFrame:
    """R runs with N and D spread independently over the range of Hoffmann et al.'s, log-normal noise `sd`."""
    rng = np.random.default_rng(seed)
    N = np.exp(rng.uniform(np.log(4e7), np.log(1.6e10), R))
    D = np.exp(rng.uniform(np.log(1e9), np.log(3e11), R))
    loss = evaluate(find_law("chinchilla"), truth, N, D) * np.exp(sd * rng.standard_normal(R))
    return pd.DataFrame({"n_params": N, "n_tokens": D, "loss": loss})


@pytest.fixture(scope="session")
def wide() -> RunTable:
    """120 spread runs with 1% noise."""
    return table_of(spread_runs(120, 0.01))


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of public tables; the test skips where it isn't."""
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("ISOFLOP_REFERENCE", root.parent / "shared" / "reference"))
    if not folder.is_dir():
        lacking("tables", f"No folder {folder}.")
    return folder
