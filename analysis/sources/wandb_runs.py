"""The runs of a Weights & Biases project as a table: a row a run, its config and summary the columns."""

from __future__ import annotations

import importlib
from typing import Any

import pandas as pd

from isoflop.analysis.tables.cells import one_line
from isoflop.analysis.tables.nested import single_values
from isoflop.base.errors import UserError

SECONDS = 60
"""A request to W&B may take this long."""
NEEDED = ("loss", "n_params", "n_params_non_embedding", "n_tokens", "flops")
OURS = "_isoflop"
"""A key of the summaries that `isoflop`'s own tracker writes."""
RUN_TABLE = ("grid", "retry")
"""The job types that are rows of a sweep's `runs.csv`."""
OTHERWISE = "try again with a connection, or name the sweep's folder instead"


def read_wandb(address: str) -> pd.DataFrame:
    """The runs of `entity/project[/group]`, R rows.

    Columns are what the runs have in config and summary (the summary wins), nested names joined by dots;
    `status` is the summary's own in a run that W&B calls finished or failed, else W&B's state; `run` is the
    run's id. Of what `isoflop` logged, only the run table's rows: neither reports nor tuning and checks.

    Raises `UserError` where W&B isn't installed, refuses, can't be reached, or has no such runs.
    """
    entity, slash, rest = address.strip().partition("/")
    project, _, group = rest.partition("/")
    if not (entity and slash and project):
        raise UserError(f"wandb:{address}: write wandb:entity/project or wandb:entity/project/group")
    try:
        # Not lazy: else each run's config and summary would be a request of its own.
        filters = {"group": group} if group else {}
        runs = _api().runs(f"{entity}/{project}", filters=filters, per_page=500, lazy=False)
        rows = [_row(run) for run in runs if OURS not in run.summary or run.job_type in RUN_TABLE]
    except UserError:
        raise
    except Exception as error:  # W&B's own errors, its transport's, and plain ValueErrors
        raise UserError(_why(error, f"{entity}/{project}")) from error
    if not rows:
        within = f" in group {group!r}" if group else ""
        raise UserError(f"wandb:{address}: project {entity}/{project} has no runs{within}")
    return pd.DataFrame(rows)


def without_result(frame: pd.DataFrame) -> pd.DataFrame:
    """Finished runs without a number that other runs have are jobs of another kind: marked incomplete."""
    needed = [name for name in NEEDED if name in frame.columns]
    lacking = frame[needed].isna()
    bare = (lacking.any(axis=1) & (frame["status"].astype(str).str.lower() == "finished")).to_numpy(bool)
    if not bare.any() or bare.all():
        return frame
    first = lacking.loc[bare].idxmax(axis=1)
    reason = frame["reason"].astype(object) if "reason" in frame else pd.Series(None, frame.index, object)
    return frame.assign(
        status=frame["status"].mask(bare, "incomplete"),
        reason=reason.mask(
            bare, "no " + first.reindex(frame.index).astype(str) + " in its summary or config"
        ),
    )


def _api() -> Any:
    try:
        # A run folder called `wandb` in the working directory is importable, and empty.
        found = importlib.import_module("wandb")
        api = found.Api
    except (ImportError, AttributeError) as error:
        raise UserError("wandb: sources need W&B, which is not installed: pip install wandb") from error
    return api(timeout=SECONDS)


def _row(run: Any) -> dict[str, Any]:
    # Without W&B's own `_step`, `_runtime` and the like.
    config, summary = (
        dict(single_values(dict(values.items()), private=False)) for values in (run.config, run.summary)
    )
    state = str(run.state).lower()
    own = summary.get("status")
    stated = own is not None and (state == "finished" or (state == "failed" and own != "finished"))
    status = own if stated else state
    return {**config, **summary, "run": run.id, "status": status}


def _why(error: Exception, path: str) -> str:
    detail = one_line(str(error) or type(error).__name__, 120)
    kind, message = type(error).__name__, str(error).lower()
    if kind == "UsageError" or "api key" in message or "log in" in message:
        return f"W&B has no login here ({detail}): run `wandb login` or set WANDB_API_KEY"
    if "could not find project" in message or "not found" in message:
        return f"W&B has no project {path}, or it is not yours to read: check wandb:entity/project"
    return f"W&B can't be reached ({detail}): {OTHERWISE}"
