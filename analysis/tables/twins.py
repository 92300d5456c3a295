"""Students beside what they come to without a teacher: `supervised_loss` of a sweep's own table."""

from __future__ import annotations

import pandas as pd

from isoflop.analysis.tables.cells import as_floats, as_texts

SUPERVISED = "supervised_loss"
ALIKE = (
    *("n_params_total", "n_params_non_embedding", "n_tokens", "batch_tokens", "lr", "data_digest"),
    *("schedule", "optimizer", "parametrization", "dtype", "context_length", "architecture", "weight_bits"),
)
"""Columns in which a run without a teacher is a student's twin; of them those that the table has."""


def with_supervised_loss(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with the mean loss, over seeds, of the runs that are as they are but for the teacher.

    A table that has the column, or no column `teacher`, is returned as it is; a row without a twin has none.
    """
    if SUPERVISED in frame.columns or not {"teacher", "loss"} <= set(frame.columns):
        return frame
    alike = [name for name in ALIKE if name in frame.columns]
    if not alike:
        return frame
    teacher = as_texts(frame, "teacher")
    alone = teacher.isna() | (teacher.str.strip() == "")
    key = pd.MultiIndex.from_frame(pd.DataFrame(frame, columns=alike).astype(str))
    losses = pd.Series(as_floats(frame, "loss"), index=key).loc[alone.to_numpy(bool)]
    means = losses.groupby(level=list(range(len(alike)))).mean()
    return frame.assign(**{SUPERVISED: means.reindex(key).to_numpy()})
