"""What N and C mean in a table: the counting conventions, and the checks on every number that enters a
fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import UserError
from analysis.readers import listed

COUNTS = {
    "total": "all parameters",
    "non_embedding": "transformer blocks, output head and final norm",
    "body": "transformer blocks alone",
}
FLOPS = {"exact": "the table's own training FLOPs", "6nd": "6 N D"}
LIKELY = {
    "loss": ("val_loss", "eval_loss", "final_loss", "test_loss", "L", "Loss", "loss_val", "validation_loss"),
    "n_params": ("N", "n", "params", "parameters", "num_params", "Model Size", "model_size"),
    "n_tokens": ("D", "t", "T", "tokens", "num_tokens", "train_tokens", "Training Tokens"),
    "flops": ("C", "FLOPs", "flop", "FLOP", "compute", "Training FLOP", "budget_flops"),
}


@dataclass(frozen=True)
class Counted:
    """N, D, C and loss of each finished row, checked positive and finite, with the conventions' names."""

    N_R: np.ndarray
    D_R: np.ndarray
    C_R: np.ndarray
    loss_R: np.ndarray
    conventions: dict[str, Any]
    warnings: tuple[str, ...]


def count_rows(frame: pd.DataFrame, count: str, flops: str, where: str) -> Counted:
    """N, D, C and loss under the conventions `count` and `flops`.

    Raises `UserError` for an unknown convention, one that the table lacks, absent columns and bad values.
    """
    if count not in COUNTS:
        raise UserError(f"unknown count {count!r}: known are {', '.join(COUNTS)}")
    if flops not in FLOPS:
        raise UserError(f"unknown FLOPs convention {flops!r}: known are {', '.join(FLOPS)}")
    own = f"n_params_{count}"
    if own not in frame.columns and (count != "non_embedding" or not _plain(frame)):
        _refuse_count(frame, count, where)
    _need(frame, own, where)
    loss_R = _numbers(frame, "loss", where)
    N_R, D_R, C_R, derived = _complete(frame, own, where)
    warnings = []
    if derived:
        warnings.append(f"the table has no {derived}: it follows from C = 6ND")
    as_given = own not in frame.columns
    if as_given and derived != "n_params":
        warnings.append("the table has one parameter count, n_params: it is taken as given")
    own_flops = "flops" in frame.columns and derived != "flops"
    if flops == "6nd" or not own_flops:
        C_R = 6.0 * N_R * D_R
    conventions = {
        "count": count,
        "count_meaning": "n_params as the table gives it" if as_given else COUNTS[count],
        "count_as_given": as_given,
        "flops": flops,
        "flops_meaning": FLOPS["exact"] if flops == "exact" and own_flops else FLOPS["6nd"],
        "derived_column": derived,
        "loss": "held-out cross-entropy, nats per token",
    }
    return Counted(N_R, D_R, C_R, loss_R, conventions, tuple(warnings))


def _plain(frame: pd.DataFrame) -> bool:
    """No choice of counts: a single `n_params`, or none at all."""
    return not any(f"n_params_{name}" in frame.columns for name in COUNTS)


def _refuse_count(frame: pd.DataFrame, count: str, where: str) -> None:
    there = [name for name in COUNTS if f"n_params_{name}" in frame.columns]
    if there:
        raise UserError(f"{where} has no n_params_{count}: ask for --count {' or '.join(there)}")
    raise UserError(
        f"{where} has one parameter count, n_params, taken as given: --count {count} cannot be asked of it"
    )


def _need(frame: pd.DataFrame, own: str, where: str) -> None:
    size = own if own in frame.columns else "n_params"
    have = {"loss": "loss", "n_params": size, "n_tokens": "n_tokens", "flops": "flops"}
    missing = [name for name, column in have.items() if column not in frame.columns]
    if "loss" in missing or len(missing) > 1:
        guesses = {new: old for new in missing for old in LIKELY[new] if old in frame.columns}
        hint = ",".join(f"{new}={old}" for new, old in guesses.items()) or "new=old,..."
        wanted = "loss and two of n_params, n_tokens, flops"
        raise UserError(
            f"{where} lacks {', '.join(missing)} (it needs {wanted}); it has {listed(frame)}. "
            f"Rename with --columns {hint}"
        )


def _complete(
    frame: pd.DataFrame, own: str, where: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str | None]:
    size = own if own in frame.columns else "n_params"
    if size not in frame.columns:
        D_R, C_R = _numbers(frame, "n_tokens", where), _numbers(frame, "flops", where)
        return C_R / (6.0 * D_R), D_R, C_R, "n_params"
    N_R = _numbers(frame, size, where)
    if "n_tokens" not in frame.columns:
        C_R = _numbers(frame, "flops", where)
        return N_R, C_R / (6.0 * N_R), C_R, "n_tokens"
    D_R = _numbers(frame, "n_tokens", where)
    if "flops" not in frame.columns:
        return N_R, D_R, 6.0 * N_R * D_R, "flops"
    return N_R, D_R, _numbers(frame, "flops", where), None


def _numbers(frame: pd.DataFrame, name: str, where: str) -> np.ndarray:
    """The column as positive finite float64. The first offending row is named, counted from 0."""
    values = np.asarray(pd.to_numeric(frame[name], errors="coerce"), dtype=float)
    bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if len(bad):
        row = frame.index[bad[0]]
        shown = frame[name].iloc[bad[0]]
        more = f" (and {len(bad) - 1} more rows)" if len(bad) > 1 else ""
        raise UserError(
            f"{where}: {name} is {shown} in row {row}{more}: it must be a positive number; "
            "mend the row, or mark it with a status other than finished"
        )
    return values
