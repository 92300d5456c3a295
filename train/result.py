"""What a finished cell says of itself: measurements, by the run table's names."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isoflop.base.provenance import Provenance, provenance
from isoflop.train.data.corpus import Corpus
from isoflop.train.device import peak_flops, peak_memory_bytes
from isoflop.train.spec import CellSpec, Recipe

TAIL = 0.05
"""`train_loss` is the mean over this share of the steps, the last ones."""

CURVE_POINTS = 200
"""Points of a cell's curve: as many as a figure shows apart."""

SPIKE_WINDOW, SPIKE_DEVIATIONS = 128, 7.0
"""Steps that a loss is compared with, and how far above them a spike is: the paper's numbers (`spikes`)."""


class Evaluation(NamedTuple):
    """A model on fixed windows, (E,) each: mean loss, nats per token, and share of tokens whose logit was the
    highest."""

    losses: NDArray[np.float32]
    correct: NDArray[np.float32]


@dataclass(frozen=True)
class Clock:
    """Wall seconds of a run: `training` of it all, `first_step` before its first step was done (mostly
    compilation), and `step`, of one once compiled."""

    training: float
    first_step: float
    step: float


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """One row of the run table, but for the columns that only the sweep knows (budget, trunk, bill).

    Columns without a default are known before the cell runs; the others when it has finished.

    `loss`, `loss_stderr` and `train_loss` in nats per token; `flops` exact by the ledger. `accuracy`: share
    of held-out tokens whose logit was the highest. `eval_losses`: the loss on each further corpus, by
    `loss_column`. `data_digest`: of the corpus' tokens; `eval_windows`: how many held-out windows gave the
    loss ("" and None in older tables). `teacher`: the cell_id of the model that it was distilled from, ""
    without one; then its share of the loss, its own held-out loss, the FLOPs of its training, and those of
    its forward pass per token, none of which `flops` counts. `step_seconds`,
    `tokens_per_second` and `mfu` are of the steps alone, without the start-up; `mfu` is a share of the
    device's named peak, None where it has none. `peak_memory_bytes`: of the worker so far. `loss_spikes`: see
    `spikes`. `dropped`: share of assignments that a mixture's experts had no room for, None in a dense model.
    `baseline_loss`: of a predictor without context (`Corpus.baseline_loss`), nats per token.
    `isoflop_version`, `jax_version`, `host`: where it was trained; several, where a path's segments differ.
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
    loss: float | None = None
    loss_stderr: float | None = None
    bits_per_byte: float | None = None
    accuracy: float | None = None
    train_loss: float | None = None
    lr: float
    batch_tokens: int
    steps: int
    schedule: str
    optimizer: str
    parametrization: str
    dtype: str
    d_model: int
    n_layers: int
    n_heads: int
    vocab_size: int
    context_length: int
    dataset: str
    tokenizer: str
    data_digest: str = ""
    eval_windows: int | None = None
    teacher: str = ""
    distillation_share: float | None = None
    teacher_loss: float | None = None
    teacher_flops: int | None = None
    teacher_token_flops: int | None = None
    wall_seconds: float | None = None
    first_step_seconds: float | None = None
    step_seconds: float | None = None
    tokens_per_second: float | None = None
    mfu: float | None = None
    peak_memory_bytes: int | None = None
    loss_spikes: int | None = None
    dropped: float | None = None
    device: str = ""
    baseline_loss: float | None = None
    isoflop_version: str | None = None
    jax_version: str | None = None
    host: str | None = None
    eval_losses: dict[str, float | None] = field(default_factory=dict)


def loss_column(source: str) -> str:
    """The column of the loss on a further corpus: `loss_wiki_intro` of the source `wiki-intro`."""
    return f"loss_{_in_a_column(source)}"


def share_column(source: str) -> str:
    """The column of a source's share of a mixture: `share_wiki_intro` of the source `wiki-intro`."""
    return f"share_{_in_a_column(source)}"


def _in_a_column(source: str) -> str:
    return re.sub(r"[^0-9a-z]+", "_", source.lower()).strip("_")


ORIGIN = ("isoflop_version", "jax_version", "host")
"""Columns that say where a cell was trained."""

DISTILLED = ("distillation_share", "teacher_loss", "teacher_flops", "teacher_token_flops")
"""Columns on a student's teacher, known before the student is trained."""

MEASURED = tuple(
    f.name
    for f in fields(CellResult)
    if f.default is None and f.name not in (*ORIGIN, *DISTILLED, "eval_windows")
)
"""Columns that training measures; those of `eval_losses` besides."""


def unfinished(cell: CellSpec, corpus: Corpus, status: str, reason: str) -> CellResult:
    """The row of a cell that has no loss: diverged, failed, running or pending, and why."""
    recipe, model, ledger = cell.recipe, cell.recipe.model, cell.recipe.ledger
    return CellResult(
        cell_id=cell.cell_id,
        init_seed=recipe.init_seed,
        data_seed=recipe.data_seed,
        status=status,
        reason=reason,
        n_params_total=ledger.params("total"),
        n_params_non_embedding=ledger.params("non_embedding"),
        n_params_body=ledger.params("body"),
        n_params_active=ledger.params_active,
        n_tokens=cell.tokens,
        n_tokens_unique=round(min(cell.tokens, corpus.n_tokens("train"), recipe.unique_tokens)),
        flops=cell.flops,
        flops_6nd=6 * ledger.params("non_embedding") * cell.tokens,
        lr=recipe.optimizer.peak_lr,
        batch_tokens=recipe.batch_tokens,
        steps=cell.steps,
        schedule=recipe.schedule.name,
        optimizer=recipe.optimizer.name,
        parametrization=recipe.parametrization,
        dtype=recipe.dtype,
        d_model=model.width,
        n_layers=model.depth,
        n_heads=model.heads,
        vocab_size=model.vocab_size,
        context_length=model.context_length,
        dataset=recipe.data.source,
        tokenizer=recipe.data.tokenizer,
        data_digest=recipe.data.digest,
        eval_windows=cell.eval_windows,
        **_distillation_columns(recipe),
        eval_losses={loss_column(source): None for source in cell.eval_data},
    )


def _distillation_columns(recipe: Recipe) -> dict[str, Any]:
    """The columns on a student's teacher."""
    distillation = recipe.distillation
    if distillation is None:
        return {}
    teacher = distillation.teacher
    return {
        "teacher": teacher.cell_id,
        "distillation_share": distillation.share,
        "teacher_loss": teacher.loss,
        "teacher_flops": teacher.flops,
        "teacher_token_flops": recipe.teacher_token_flops,
    }


def measured(
    cell: CellSpec,
    corpus: Corpus,
    *,
    evaluation: Evaluation,
    further: Mapping[str, Evaluation] | None = None,
    metrics: Mapping[str, NDArray[np.float32]],
    clock: Clock,
    device: str,
    devices: int = 1,
    trained_by: Sequence[Provenance] = (),
) -> CellResult:
    """The result of a finished cell from its evaluation and the metrics of all its steps (steps,), taken by
    `devices` devices of the kind `device`. `further`: the evaluations on its `eval_data`, by source.
    `trained_by`: of each segment on the cell's path; this process' own unless given."""
    windows = evaluation.losses
    loss = _mean(windows)
    tokens_per_second = cell.recipe.batch_tokens / clock.step
    peak, bytes_per_token = peak_flops(device), corpus.bytes_per_token
    tail = slice(-max(1, round(TAIL * cell.steps)), None)
    return replace(
        unfinished(cell, corpus, "finished", _nothing_learnt(loss, corpus.baseline_loss)),
        loss=loss,
        loss_stderr=float(windows.std(ddof=1, dtype=np.float64) / math.sqrt(len(windows))),
        bits_per_byte=loss / math.log(2) / bytes_per_token if bytes_per_token else None,
        accuracy=_mean(evaluation.correct),
        eval_losses={loss_column(source): _mean(each.losses) for source, each in (further or {}).items()},
        train_loss=_mean(metrics["loss"][tail]),
        wall_seconds=clock.training,
        first_step_seconds=clock.first_step,
        step_seconds=clock.step,
        tokens_per_second=tokens_per_second,
        mfu=tokens_per_second * cell.recipe.ledger.train_flops / (peak * devices) if peak else None,
        peak_memory_bytes=peak_memory_bytes(),
        loss_spikes=spikes(metrics["loss"]),
        dropped=_mean(metrics["dropped"][tail]) if "dropped" in metrics else None,
        device=device,
        baseline_loss=corpus.baseline_loss,
        **_origin(trained_by or (provenance(),)),
    )


def _mean(values: NDArray[np.float32]) -> float:
    return float(values.mean(dtype=np.float64))


def _nothing_learnt(loss: float, baseline: float) -> str:
    """What is wrong with the loss of a cell that trained to its end, if it is above the baseline."""
    return f"loss {loss:.3f} is above {baseline:.3f}, that of token frequencies" if loss > baseline else ""


def _origin(trained_by: Sequence[Provenance]) -> dict[str, str]:
    """The columns that say where a cell was trained, in the order of its segments."""

    def distinct(values: Iterable[str | None]) -> str:
        return " + ".join(dict.fromkeys(value for value in values if value))

    return {
        "isoflop_version": distinct(each.version for each in trained_by),
        "jax_version": distinct(each.packages.get("jax") for each in trained_by),
        "host": distinct(each.host for each in trained_by),
    }


def spikes(losses: NDArray[np.float32]) -> int:
    """Steps whose loss is SPIKE_DEVIATIONS standard deviations or more above the mean of the SPIKE_WINDOW
    steps before them (the spike score of OLMo et al. 2024, section 3.1, as a count)."""
    if len(losses) <= SPIKE_WINDOW:
        return 0
    before = np.lib.stride_tricks.sliding_window_view(losses[:-1].astype(np.float64), SPIKE_WINDOW)
    mean, deviation = before.mean(axis=1), before.std(axis=1)
    return int(np.sum(losses[SPIKE_WINDOW:] > mean + SPIKE_DEVIATIONS * deviation))


def curve(
    cell: CellSpec, metrics: Mapping[str, NDArray[np.float32]], rates: NDArray[np.float32]
) -> list[dict[str, Any]]:
    """The run's metrics in at most CURVE_POINTS means over equal stretches; `step` is a stretch's last.

    A run that is not over, with metrics (steps so far,), has the points that it has come to. The loss stands
    as `train_loss`, the other metrics under their own names.
    """
    edges = np.unique(np.linspace(0, cell.steps, CURVE_POINTS + 1).round().astype(int))
    token_flops = cell.recipe.ledger.train_flops
    tokens = cell.recipe.batch_tokens
    named = {"train_loss" if name == "loss" else name: values for name, values in metrics.items()}
    return [
        {
            "step": int(b),
            "tokens": int(b) * tokens,
            "flops": int(b) * tokens * token_flops,
            "lr": float(rates[b - 1]),
        }
        | {name: float(values[a:b].mean(dtype=np.float64)) for name, values in named.items()}
        for a, b in itertools.pairwise(edges)
        if b <= len(metrics["loss"])
    ]
