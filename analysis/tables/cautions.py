"""What a reader of a fit should know of its rows: mixtures, epochs, flags."""

from __future__ import annotations

import numpy as np
import pandas as pd

from isoflop.analysis.columns.units import key_of
from isoflop.analysis.tables.cells import as_floats, as_texts, one_line

ONE_KIND = ("schedule", "dataset", "tokenizer", "vocab_size", "context_length", "jax_version", "axes")
"""Columns that should hold one value in a table that is fitted as a whole. `axes` of our sweeps names the
values of the axes."""
MIXES = "the table mixes"
"""What a warning of several kinds begins with."""
ONCE = 1.01
"""Tokens seen over distinct ones, up to which a run counts as one pass over its text."""
FLAGS = (
    "outlier",
    "outliers",
    "diverged",
    "failed",
    "crashed",
    "excluded",
    "exclude",
    "bad",
    "broken",
)
"""Keys of columns whose truth speaks against a row."""


def cautions(frame: pd.DataFrame, D_R: np.ndarray) -> tuple[str, ...]:
    """Warnings on R rows of a fit, whose training tokens are D_R."""
    return (*_mixtures(frame), *_epochs(frame, D_R), *_flags(frame))


def _mixtures(frame: pd.DataFrame) -> tuple[str, ...]:
    warnings = []
    for name in ONE_KIND:
        if name not in frame.columns:
            continue
        if len(kinds := sorted(as_texts(frame, name).dropna().unique())) > 1:
            shown = one_line(", ".join(kinds[:4]))
            warnings.append(f"{MIXES} {len(kinds)} kinds of {name} ({shown}) in one fit")
    return tuple(warnings)


def _epochs(frame: pd.DataFrame, D_R: np.ndarray) -> tuple[str, ...]:
    if "n_tokens_unique" not in frame.columns:
        return ()
    unique_R = as_floats(frame, "n_tokens_unique")
    several = int(np.sum(unique_R < D_R / ONCE))
    if not several:
        return ()
    return (
        f"{several} of {len(frame)} runs see their text more than once: most laws know fresh tokens only",
    )


def _flags(frame: pd.DataFrame) -> tuple[str, ...]:
    """Columns such as `outlier` that mark rows of the fit."""
    warnings = []
    for name in frame.columns:
        if key_of(name).removeprefix("is").removeprefix("run") not in FLAGS:
            continue
        marked = as_texts(frame, name).str.strip().str.lower().isin(("true", "yes", "1", "1.0"))
        if 0 < (count := int(marked.sum())) < len(frame):
            warnings.append(
                f"{one_line(name)} is true in {count} of {len(frame)} rows of the fit: to leave them out, "
                f"--where '{one_line(name)}!=true'"
            )
    return tuple(warnings)
