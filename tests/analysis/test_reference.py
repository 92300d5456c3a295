"""Public run tables: published answers reproduced, and thin designs called thin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import FitOptions, fit, load_runs, table_of


def test_the_fit_of_a_public_table_is_certified(reference: Path) -> None:
    """Runs of one epoch or less of Muennighoff et al. (2023): starts agree on the untied law's optimum."""
    runs = pd.read_csv(reference / "datablations" / "runs_182.csv")
    once = (runs["D"] <= runs["U"]).to_numpy()
    fresh = runs.loc[once].rename(columns={"N": "n_params", "D": "n_tokens"})
    found = fit(table_of(fresh), FitOptions(bootstrap=0, starts=128))
    assert found.certificate is not None
    assert found.certificate.status == "certified"
    assert found.certificate.starts_at_optimum > 0.9 * 128


def test_gadre_default_subset_is_too_thin(reference: Path) -> None:
    """Gadre et al. (2024) fit four parameters to five runs: those identify no five-parameter law."""
    path = reference / "gadre" / "overtrained_104.csv"
    table = load_runs(path, columns="n_params=N,n_tokens=D,loss=loss_c4_val")
    c4 = table.where((table.frame["dataset_name"] == "c4_original").to_numpy())
    ratio = c4.D_R / c4.N_R
    smallest = c4.N_R.min() == c4.N_R
    keep = (np.isclose(ratio, 20, rtol=0.05) & (c4.N_R < 5e8)) | (
        smallest & np.isclose(ratio, 320, rtol=0.05)
    )
    assert keep.sum() == 5
    found = fit(c4.where(keep), FitOptions(bootstrap=0, starts=32))
    assert not any(found.identified.values())


def test_porian_kaplan_exponent_from_isoflop_points(reference: Path) -> None:
    """Porian et al. (2024), RefinedWeb under Kaplan's counting: N_opt ~ C^.835.

    Theirs interpolates each curve (Akima) and weighs its minima; parabolas over whole curves come within .06.
    """
    points = pd.read_csv(reference / "porian" / "isoflop_points.csv")
    setting = {
        "dataset": "rw", "hparams": "base", "warmup": "long", "decay": "kaplan", "param_count": "kaplan",
        "val": "train",
    }  # fmt: skip
    chosen = points.loc[np.logical_and.reduce([points[name] == value for name, value in setting.items()])]
    assert len(chosen) > 20
    frame = pd.DataFrame(
        {"n_params": chosen["N"], "n_tokens": chosen["D"], "flops": chosen["flops"], "loss": chosen["loss"]}
    )
    found = fit(table_of(frame.assign(budget=chosen["flops"])), FitOptions(approach=2, bootstrap=0))
    assert found.exponents["a"] == pytest.approx(0.835, abs=0.06)
