"""What a finished cell says of itself: measurements, by the run table's names."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.corpus import Corpus
from train.device import peak_flops
from train.spec import CellSpec

TAIL = 0.05
"""`train_loss` is the mean over this share of the steps, the last ones."""

CURVE_POINTS = 200


@dataclass(frozen=True)
class CellResult:
    """One row of the run table, but for the columns that only the sweep knows (budget, trunk, bill).

    `loss`, `loss_stderr` and `train_loss` in nats per token; `flops` exact by the ledger; `mfu` a share of
    the device's named peak, None where it has none.
    """

    cell_id: str
    init_seed: int
    data_seed: int
    status: str
    reason: str
    n_params_total: int
    n_params_non_embedding: int
    n_params_body: int
    n_params_active: int
    n_tokens: int
    n_tokens_unique: int
    flops: int
    flops_6nd: int
    loss: float | None
    loss_stderr: float | None
    bits_per_byte: float | None
    train_loss: float | None
    lr: float
    batch_tokens: int
    steps: int
    schedule: str
    optimizer: str
    d_model: int
    n_layers: int
    n_heads: int
    vocab_size: int
    context_length: int
    dataset: str
    tokenizer: str
    wall_seconds: float | None
    tokens_per_second: float | None
    mfu: float | None
    device: str


def describe(cell: CellSpec, n_tokens_available: int) -> dict[str, Any]:
    """The columns that are known before the cell has run."""
    recipe, model, ledger = cell.recipe, cell.recipe.model, cell.recipe.ledger
    return {
        "cell_id": cell.cell_id,
        "init_seed": recipe.init_seed,
        "data_seed": recipe.data_seed,
        "n_params_total": ledger.params("total"),
        "n_params_non_embedding": ledger.params("non_embedding"),
        "n_params_body": ledger.params("body"),
        "n_params_active": ledger.params_active,
        "n_tokens": cell.tokens,
        "n_tokens_unique": min(cell.tokens, n_tokens_available),
        "flops": cell.flops,
        "flops_6nd": 6 * ledger.params("non_embedding") * cell.tokens,
        "lr": recipe.optimizer.peak_lr,
        "batch_tokens": recipe.batch_tokens,
        "steps": cell.steps,
        "schedule": recipe.schedule.name,
        "optimizer": recipe.optimizer.name,
        "d_model": model.width,
        "n_layers": model.depth,
        "n_heads": model.heads,
        "vocab_size": model.vocab_size,
        "context_length": model.context_length,
        "dataset": recipe.data.source,
        "tokenizer": recipe.data.tokenizer,
    }


def measured(
    cell: CellSpec,
    corpus: Corpus,
    *,
    windows: NDArray[np.float32],
    train_losses: NDArray[np.float32],
    seconds: float,
    device: str,
) -> CellResult:
    """The result of a finished cell from its window losses (E,) and the losses of all its steps (steps,)."""
    loss = float(windows.mean(dtype=np.float64))
    speed = cell.tokens / seconds
    peak = peak_flops(device)
    tail = train_losses[-max(1, round(TAIL * len(train_losses))) :]
    return CellResult(
        **describe(cell, corpus.n_tokens("train")),
        status="finished",
        reason="",
        loss=loss,
        loss_stderr=float(windows.std(ddof=1, dtype=np.float64) / math.sqrt(len(windows))),
        bits_per_byte=loss / math.log(2) / corpus.bytes_per_token,
        train_loss=float(tail.mean(dtype=np.float64)),
        wall_seconds=seconds,
        tokens_per_second=speed,
        mfu=speed * cell.recipe.ledger.train_flops / peak if peak else None,
        device=device,
    )


def unfinished(cell: CellSpec, corpus: Corpus, status: str, reason: str) -> CellResult:
    """The row of a cell that has no loss: diverged, failed, running or pending, and why."""
    empty = ("loss", "loss_stderr", "bits_per_byte", "train_loss", "wall_seconds", "tokens_per_second", "mfu")
    nothing: dict[str, Any] = dict.fromkeys(empty)
    known = describe(cell, corpus.n_tokens("train"))
    return CellResult(**known, **nothing, status=status, reason=reason, device="")


def curve(
    cell: CellSpec, train_losses: NDArray[np.float32], rates: NDArray[np.float32]
) -> list[dict[str, Any]]:
    """The training loss in at most CURVE_POINTS means over equal stretches; `step` is a stretch's end."""
    edges = np.unique(np.linspace(0, len(train_losses), CURVE_POINTS + 1).round().astype(int))
    token_flops = cell.recipe.ledger.train_flops
    tokens = cell.recipe.batch_tokens
    return [
        {
            "step": int(b),
            "tokens": int(b) * tokens,
            "flops": int(b) * tokens * token_flops,
            "train_loss": float(train_losses[a:b].mean(dtype=np.float64)),
            "lr": float(rates[b - 1]),
        }
        for a, b in itertools.pairwise(edges)
    ]
