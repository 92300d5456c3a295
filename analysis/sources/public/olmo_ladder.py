"""Runs of Bhagia et al. (2024), Establishing Task Scaling Laws via Compute-Efficient Model Ladders (OLMo)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from isoflop.analysis.sources.public.table import PublicTable, listed_files

SIZES = {"190M": 190354176, "370M": 371262464, "760M": 758220288, "1B": 1279395840, "3B": 3169537280}
"""Parameters without the embedding, by the beginning of a file's name: the authors' src/ladder/ladder.py."""
LOSS = re.compile(r"eval/(.+)-validation/CrossEntropyLoss")
BITS = re.compile(r"eval/downstream_bpb/(.+)_rc_5shot_bpb")
ACCURACY = re.compile(r"eval/downstream/(.+)_rc_5shot_(?:len_norm|acc)")
COLUMNS = ((LOSS, "loss_{}"), (BITS, "bits_per_byte_{}"), (ACCURACY, "accuracy_{}"))


def convert(files: list[Path]) -> pd.DataFrame:
    """25 rows, the last of each run's evaluations: `name`, `n_params`, `n_tokens`, `flops`, `lr`,
    `batch_tokens`, `loss` (on C4), a `loss_*` for every text, `bits_per_byte_*` and `accuracy_*` for every
    task.
    """
    return pd.DataFrame([_row(file.stem, pd.read_csv(file).iloc[-1]) for file in files])


def _row(name: str, last: pd.Series) -> dict[str, Any]:
    measured = {
        new.format(found[1].replace("-", "_")): last[column]
        for column in map(str, last.index)
        for pattern, new in COLUMNS
        if (found := pattern.fullmatch(column))
    }
    return {
        "name": name,
        "n_params": SIZES[name.partition("-")[0]],
        "n_tokens": last["throughput/total_tokens"],
        "flops": 1e9 * last["throughput/total_training_Gflops"],
        "lr": last["learning_rate_peak"],
        "batch_tokens": last["batch_size_in_tokens"],
        "loss": measured["loss_c4_en"],
        **measured,
    }


TABLE = PublicTable(
    title="Bhagia et al. (2024)",
    repository="allenai/OLMo-ladder",
    commit="67a3f440f787d020da35e3ca8eeae475fae754f5",
    files=listed_files(Path(__file__).with_suffix(".txt")),
    convert=convert,
    meanings={
        "count_meaning": "parameters without the embedding, as the authors give them",
        "flops_meaning": "training FLOPs as the authors' trainer logged them",
        "loss": "cross-entropy on C4 validation text, nats per token; the other texts are loss_* columns",
    },
)
