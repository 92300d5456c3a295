"""Runs of Gadre et al. (2024), Language models scale reliably with over-training and on downstream tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from isoflop.analysis.sources.public.table import PublicTable, listed_files


def convert(files: list[Path]) -> pd.DataFrame:
    """104 rows: `name`, `dataset`, `n_params`, `n_tokens`, `loss` (on C4), and a `loss_*` for every text."""
    return pd.DataFrame([_row(json.loads(file.read_text(encoding="utf-8"))) for file in files])


def _row(run: dict[str, Any]) -> dict[str, Any]:
    used = run["hyperparameters"]
    losses = {Path(each["val_data"][0]).parent.name: each["loss"] for each in run["results"]}
    return {
        "name": run["name"],
        "dataset": run["dataset_name"],
        "n_params": used["params"],
        "params_no_embed": used["params_no_embed"],
        "n_tokens": used["tokens"],
        "lr": used["lr"],
        "loss": losses["c4_val"],
        **{f"loss_{text}": loss for text, loss in losses.items()},
    }


TABLE = PublicTable(
    title="Gadre et al. (2024)",
    repository="mlfoundations/scaling",
    commit="a003c4913793ac2ae7ef87b28ecb562955d026d5",
    files=listed_files(Path(__file__).with_suffix(".txt")),
    convert=convert,
    meanings={
        "count_meaning": "all parameters, embeddings included, as the authors give them",
        "loss": "cross-entropy on C4 validation text, nats per token; the other texts are loss_* columns",
    },
)
