"""What a run's status says: the words of trackers, tuners and schedulers for a run's end."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from isoflop.analysis.tables.cells import FEW_LISTED, as_texts, listed, one_line

FINISHED = frozenset({
    "finished", "completed", "complete", "done", "success", "successful", "succeeded", "ok",
    "terminated",  # Ray Tune's word for a trial that came to its end
})  # fmt: skip
"""Words of W&B, MLflow, Optuna, Ray Tune, SLURM, Kubernetes for a run that came to its end."""
UNFINISHED = frozenset({
    "failed", "fail", "failure", "crashed", "killed", "error", "errored", "diverged", "incomplete",
    "running", "pending", "queued", "waiting", "scheduled", "starting", "started", "created", "initializing",
    "initialized", "paused", "suspended", "preempted", "preempting", "requeued", "resizing", "configuring",
    "completing", "pruned", "cancelled", "canceled", "stopped", "stopping", "aborted", "interrupted",
    "timeout", "timedout", "time_out", "out_of_memory", "oom", "node_fail", "boot_fail", "deadline",
    "revoked", "signaling", "unknown", "evicted", "skipped", "invalid",
})  # fmt: skip


def words_of(frame: pd.DataFrame, name: str = "status") -> pd.Series:
    """The column's words in one spelling: `COMPLETED`, `TrialState.COMPLETE`, `CANCELLED by 1000`.

    An empty cell is `finished`.
    """
    text = as_texts(frame, name)
    return text.map({word: _word(word) for word in text.unique()})  # few words, maybe a million rows


def finished_rows(status: pd.Series) -> tuple[np.ndarray, tuple[str, ...]]:
    """Which rows came to their end, and warnings on words that say neither."""
    keep = status.isin(FINISHED).to_numpy(dtype=bool)
    strange = pd.Series(status[~keep & ~status.isin(UNFINISHED).to_numpy(dtype=bool)]).value_counts()
    if strange.empty:
        return keep, ()
    return keep, (
        f"the status of {int(strange.sum())} rows is a word that says neither finished nor failed "
        f"({counted_words(strange)}): they are left out; to take them, --where status={strange.index[0]}",
    )


def counted_words(counts: pd.Series) -> str:
    """Words with how often they stand: `weird 3, odd 2`."""
    return listed([f"{one_line(word, 40)} {count}" for word, count in counts.items()], FEW_LISTED)


def are_statuses(frame: pd.DataFrame, name: str) -> bool:
    """Whether a column called state or the like holds what became of the runs: one known word at least."""
    words = set(as_texts(frame, name).dropna().map(_word))
    return bool(words & (FINISHED | UNFINISHED))


def _word(text: str | None) -> str:
    if text is None or not text.strip():
        return "finished"
    word = re.sub(r"^\w*state\.", "", text.strip().lower())  # Optuna's TrialState.COMPLETE
    word = re.sub(r"\s+by\s+\S+$|\+$", "", word)  # sacct's CANCELLED by 1000, OUT_OF_ME+
    word = re.sub(r"[\s-]+", "_", word)
    return "out_of_memory" if word.startswith("out_of_me") else word
