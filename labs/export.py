"""A student's runs as a run table, which `isoflop fit` reads."""

from __future__ import annotations

import csv
import io

from isoflop.labs.contract.messages import ExperimentResponse
from isoflop.labs.contract.statuses import Completed, Failed, Queued
from isoflop.labs.contract.training_config import SGDConfig
from isoflop.labs.settings import Settings

COLUMNS: tuple[str, ...] = (
    "cell_id", "init_seed", "status", "reason", "n_params_total", "n_params_non_embedding", "n_tokens",
    "flops", "flops_6nd", "loss", "lr", "batch_tokens", "steps", "optimizer", "dtype", "d_model", "n_layers",
    "n_heads", "vocab_size", "context_length", "wall_seconds",
)  # fmt: skip
"""A part of `isoflop sweep`'s run table, by the same names; `wall_seconds` are those of the lab's clock."""


def run_table(runs: list[ExperimentResponse], settings: Settings) -> str:
    """The table as CSV, a row a run; `loss` is the last one of a completed run, and empty for others."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for run in runs:
        writer.writerow(_row(run, settings))
    return out.getvalue()


def _row(run: ExperimentResponse, settings: Settings) -> dict[str, object]:
    config, status = run.training_config, run.status
    optimizer, shape = config.optimizer_config, config.architecture_config
    costs = settings.price(config)
    n_params, n_tokens = costs.n_params_non_embedding, config.total_train_tokens
    completed = isinstance(status, Completed)
    waiting = isinstance(status, Queued)
    return {
        "cell_id": run.experiment_id,
        "init_seed": config.model_seed,
        "status": "finished" if completed else "pending" if waiting else status.status_type,
        "reason": status.reason.reason if isinstance(status, Failed) else "",
        "n_params_total": costs.n_params_total,
        "n_params_non_embedding": n_params,
        "n_tokens": n_tokens,
        "flops": int(costs.flops),
        "flops_6nd": 6 * n_params * n_tokens,
        "loss": repr(status.val_losses[-1]) if completed else "",
        "lr": optimizer.lr_scheduler.peak_value,
        "batch_tokens": config.train_batch_size * settings.windows.context_length,
        "steps": costs.n_steps,
        "optimizer": "sgd" if isinstance(optimizer, SGDConfig) else "adamw",
        "dtype": shape.dtype,
        "d_model": shape.hidden_size,
        "n_layers": shape.num_hidden_layers,
        "n_heads": shape.num_attention_heads,
        "vocab_size": shape.vocab_size,
        "context_length": settings.windows.context_length,
        "wall_seconds": status.used_runtime_seconds if isinstance(status, Completed | Failed) else "",
    }
