"""Rows that are not independent runs: checkpoints of one run, repeats, a search over rates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from isoflop.analysis.columns.units import key_of, words_of
from isoflop.analysis.tables.cells import as_texts, one_line

RUN_KEYS = frozenset({
    "run", "runname", "runid", "wandbid", "wandbrunid", "wandbname", "id", "uid", "uuid", "trial", "trialid",
    "trialname", "jobid", "jobname", "slurmjobid", "trainingrun", "experimentid",
})  # fmt: skip
"""Keys of columns that name a run, not a kind of model."""
LOOSE_KEYS = frozenset({
    "name", "model", "modelname", "modelid", "label", "experiment", "experimentname", "exp",
})  # fmt: skip
"""Keys of columns that name a run or a kind of model: believed where a step or equal steps speak for it."""
STEP_KEYS = frozenset({
    "step", "globalstep", "trainstep", "trainerglobalstep", "iteration", "iter", "checkpoint", "ckpt",
    "checkpointstep",
})  # fmt: skip
SETTINGS = (
    "seed", "init_seed", "data_seed", "lr", "learning_rate", "batch_size", "schedule", "dataset", "width",
)  # fmt: skip
"""Columns that distinguish runs of one size where none names the run."""
EQUAL = 0.02
"""Tokens rise in equal steps if the steps differ by no more than this share: logged counts are rounded to a
batch or to three digits."""
ALONE = 5
"""Rows of one size whose tokens rise in equal steps, from which they look like one run's checkpoints: grids
of budgets have few, and rise in ratios."""
INCIDENTAL = frozenset({
    "time", "times", "timestamp", "date", "datetime", "created", "updated", "started", "ended", "finished",
    "host", "hostname", "node", "machine", "gpu", "gpus", "device", "user", "path", "dir", "folder", "file",
    "runtime", "wall", "walltime", "sec", "secs", "second", "seconds", "minutes", "hours", "duration",
    "elapsed", "uuid", "url", "notes", "note", "comment", "commit", "git", "pid", "slurm", "unnamed", "index",
    "throughput", "mfu", "memory", "sweep", "tags", "source",
})  # fmt: skip
"""Words of columns that say where and when a run was made, not what it was."""
NAMES = frozenset({"id", "name", "run", "label"})
"""Words of columns that name a run: they distinguish repeats only where losses are known coarsely."""
FINE = 4
"""Decimals beyond which two equal losses are one loss: two seeds agree to no more."""
WIDE = 0.1
"""Losses of runs with one N and D are far apart from this relative distance: seeds differ by a percent or two
at most."""
SHARE = 0.3
"""A table is a search over rates where this share of its rows lies in such cells, of three runs or more: a
few outliers among replicated seeds are no search."""


@dataclass(frozen=True)
class Checkpoints:
    """Rows that are checkpoints of the same runs. `run_R`: the run's name of each row; `by`: how known."""

    run_R: np.ndarray
    by: str


def checkpoints(frame: pd.DataFrame, N_R: np.ndarray, D_R: np.ndarray) -> Checkpoints | None:
    """The runs whose rows are checkpoints: the same N, rising D. None where each row is a run of its own, and
    where the table has trunks.
    """
    if "trunk_id" in frame.columns and pd.Series(frame["trunk_id"]).notna().any():
        return None
    sizes = pd.DataFrame({"N": N_R, "D": D_R}, index=frame.index)
    has_step = any(key_of(name) in STEP_KEYS for name in frame.columns)
    for name in frame.columns:
        key = key_of(name)
        if key not in RUN_KEYS | LOOSE_KEYS:
            continue
        label = as_texts(frame, name)
        if not _is_run(sizes, label):
            continue
        if key in RUN_KEYS or has_step or _rise_evenly(sizes, label, 3):
            return Checkpoints(label.to_numpy(), f"the column {one_line(name, 60)!r} repeats")
    settings = [as_texts(frame, name) for name in SETTINGS if name in frame.columns]
    label = sizes.groupby([sizes["N"], *settings], dropna=False, sort=False).ngroup()
    if _is_run(sizes, label) and _rise_evenly(sizes, label, ALONE):
        return Checkpoints(label.astype(str).to_numpy(), "tokens rise in equal steps at each size")
    return None


def describe(found: Checkpoints, frame: pd.DataFrame) -> tuple[str, ...]:
    """What is done with checkpoints of one run, and what they say of the law."""
    rows, runs = len(found.run_R), len(pd.unique(found.run_R))
    lines = [
        f"{rows} rows are checkpoints of {runs} runs ({found.by} while N stays and D rises): rows of one run "
        "are not independent, so each run is taken as one trunk (trunk_id), and intervals are by run"
    ]
    schedules = (
        set(as_texts(frame, "schedule").dropna().str.lower()) if "schedule" in frame.columns else set()
    )
    if schedules != {"constant"}:
        lines.append(
            f"{rows - runs} rows lie before the end of their run: under a decaying learning rate (cosine, "
            "linear) their losses are above those of runs that end there, and the law bends"
        )
    return tuple(lines)


def repeats(frame: pd.DataFrame, loss_R: np.ndarray) -> int:
    """How many rows repeat an earlier one in all that says what the run was.

    Columns of times, hosts and the like don't count, nor the run's name where the loss is known finely.
    """
    columns = [name for name in frame.columns if not INCIDENTAL & set(_letters(name))]
    texts = {name: as_texts(frame, name) if frame[name].dtype == object else frame[name] for name in columns}
    same = pd.DataFrame(texts, index=frame.index).duplicated() if texts else pd.Series(False, frame.index)
    measured = pd.DataFrame({name: cells for name, cells in texts.items() if not NAMES & set(_letters(name))})
    fine_R = np.abs(loss_R - np.round(loss_R, FINE)) > 10.0 ** -(FINE + 5)
    if len(measured.columns):
        same |= measured.duplicated() & fine_R
    return int(same.sum())


def cells(frame: pd.DataFrame, N_R: np.ndarray, D_R: np.ndarray, kinds: Sequence[str]) -> np.ndarray:
    """The number of each row's (N, D), to three digits, within one kind of data and model."""
    parts = {"N": _rounded(N_R), "D": _rounded(D_R)}
    parts |= {name: as_texts(frame, name).to_numpy() for name in kinds if name in frame.columns}
    return pd.DataFrame(parts).groupby(list(parts), dropna=False, sort=False).ngroup().to_numpy()


def rate_search(cell_R: np.ndarray, loss_R: np.ndarray) -> str | None:
    """The warning for a table with many runs at one (N, D) whose losses lie far apart."""
    groups = pd.Series(loss_R).groupby(cell_R)
    low, high, runs = (np.asarray(x) for x in (groups.min(), groups.max(), groups.size()))
    several = runs >= 3
    wide = several & (high > (1 + WIDE) * low)
    searched = int(runs[wide].sum())
    if searched < SHARE * len(loss_R) or 2 * wide.sum() < several.sum():
        return None
    worst = int(np.argmax(np.where(wide, high / low, -np.inf)))
    return (
        f"{searched} of {len(loss_R)} rows share their N and D with others of very different "
        f"loss (at one, {low[worst]:.3g} to {high[worst]:.3g}): a search over learning rates or the like? To "
        "fit the best of each (N, D), --best-of-each"
    )


def lowest_of_each(cell_R: np.ndarray, loss_R: np.ndarray) -> np.ndarray:
    """Which rows have the lowest loss of their cell, the first of equal ones."""
    keep_R = np.zeros(len(loss_R), dtype=bool)
    keep_R[pd.Series(loss_R).groupby(cell_R).idxmin().to_numpy()] = True
    return keep_R


def _is_run(sizes: pd.DataFrame, label: pd.Series) -> bool:
    """Whether rows of one label have one N and different D, and make up half of the table at least."""
    groups = sizes.groupby(label)
    runs = groups.agg(least=("N", "min"), most=("N", "max"), rows=("D", "size"), tokens=("D", "nunique"))
    several = runs.loc[runs["rows"] > 1]
    one_size = (several["most"] <= several["least"] * (1 + 1e-6)).all()
    rising = (several["tokens"] == several["rows"]).all()
    return bool(one_size and rising and 2 * several["rows"].sum() >= len(sizes) and len(several))


def _rise_evenly(sizes: pd.DataFrame, label: pd.Series, least: int) -> bool:
    """Whether most labels have `least` rows or more whose tokens rise in equal steps."""
    even = []
    for _, D in sizes["D"].groupby(label):
        steps = np.diff(np.sort(D.to_numpy()))
        even.append(len(D) >= least and bool(np.ptp(steps) <= EQUAL * steps.mean()))
    return 2 * sum(even) > len(even)


def _letters(name: str) -> list[str]:
    """The words of a name without its numbers: `gpu0` is a `gpu`."""
    return re.findall(r"[a-z]+", " ".join(words_of(name)))


def _rounded(values: np.ndarray) -> np.ndarray:
    """Positive values to three significant digits, as integers of their own."""
    power = np.floor(np.log10(values))
    return np.round(values / 10.0 ** (power - 2)) + 1e4 * power
