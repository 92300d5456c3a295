"""Weights & Biases: one run a cell, grouped by sweep; offline unless logged in.

The run's id is the cell's, so that a cell told twice is one run. Loss curves stand against tokens and
FLOPs; the run-table row is the summary.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PROJECT = "isoflop"
INIT_SECONDS = 30


class Wandb:
    """Mirrors cells into the folder `folder` / `wandb` and, where logged in, to the server."""

    def __init__(self, sweep: str, folder: Path, warn: Callable[[str], None]) -> None:
        import wandb

        self.wandb, self.sweep, self.folder, self.warn = wandb, sweep, folder, warn
        self.mode = os.environ.get("WANDB_MODE") or ("online" if _logged_in(wandb) else "offline")

    def cell(self, config: dict[str, Any], curve: Sequence[dict[str, Any]], row: dict[str, Any]) -> None:
        run = self._start(config, row)
        for axis in ("tokens", "flops"):
            run.define_metric(axis, hidden=True)
        run.define_metric("train_loss", step_metric="tokens")
        run.define_metric("train_loss_by_flops", step_metric="flops")
        for point in curve:
            # Committed at once: else the last point would come after the row and take its place.
            values = {**point, "train_loss_by_flops": point["train_loss"]}
            run.log(values, step=point["step"], commit=True)
        run.summary.update({key: value for key, value in row.items() if value is not None})
        run.finish()

    def close(self) -> None:
        pass

    def _start(self, config: dict[str, Any], row: dict[str, Any]) -> Any:
        try:
            return self._init(config, row)
        except Exception as error:
            if self.mode == "offline":
                raise
            why = (str(error).splitlines() or [type(error).__name__])[0]
            self.warn(f"W&B can't be reached ({why}): logging offline, for `wandb sync` later")
            self.mode = "offline"
            self.wandb.teardown()  # W&B's service holds on to the id of the run that it could not start
            return self._init(config, row)

    def _init(self, config: dict[str, Any], row: dict[str, Any]) -> Any:
        return self.wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=self.sweep,
            id=f"{self.sweep}-{row['cell_id']}",
            name=f"d{row['d_model']} C{row['budget']:.3g} {row['role']} {row['cell_id'][:6]}",
            job_type=row["role"],
            config=config,
            mode=self.mode,
            dir=self.folder,
            resume="allow" if self.mode == "online" else None,
            settings=self.wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                save_code=False,
                x_disable_stats=True,
                init_timeout=INIT_SECONDS,
            ),
        )


def open_tracker(sweep: str, folder: Path, warn: Callable[[str], None]) -> Wandb:
    """The mirror of the sweep that lies in `folder`."""
    return Wandb(sweep, folder, warn)


def _logged_in(wandb: Any) -> bool:
    return bool(os.environ.get("WANDB_API_KEY") or wandb.login(prompt=False))
