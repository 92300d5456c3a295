"""The next rung of a ladder: the one model that a fit calls for at a budget, ready to be trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from isoflop.base.json_values import Serializable
from isoflop.sweeps.forecasts.command_line import sweep_command
from isoflop.sweeps.forecasts.trained_sweep import TrainedSweep
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.grids.rates import Rates
from isoflop.sweeps.progress.table_files import RUNS, read_rows
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.row import Row
from isoflop.sweeps.workers.memory import needed_bytes
from isoflop.train.execution import Execution
from isoflop.train.spec import CellSpec


@dataclass(frozen=True)
class Rung(Serializable):
    """A model and how to train it.

    Sizes in features, layers, heads and parameters; `batch_size` in windows; `decay_steps`: the last ones of
    `steps`; memory in bytes on this machine's kind of device, `state_bytes` of parameters, gradients and
    moments, `activation_bytes` of what the backward pass finds kept and the logits with their gradient;
    `seconds` of training in one worker, from `seconds_from`, None where no run of the sweep has a clock;
    `command` trains it.
    """

    cell_id: str
    flops: float
    width: int
    depth: int
    heads: int
    head_dim: int
    ff_width: int
    n_params_total: int
    n_params_non_embedding: int
    n_params_body: int
    n_tokens: int
    batch_size: int
    batch_tokens: int
    steps: int
    schedule: str
    warmup_steps: int
    decay_steps: int
    peak_lr: float
    lr_rule: str
    state_bytes: int
    activation_bytes: int
    seconds: float | None
    seconds_from: str
    command: str


def rung_at(folder: Path, flops: float, n_opt: float, count: str) -> Rung:
    """The family's member nearest to `n_opt` parameters (of that `count`), on a budget of `flops` FLOPs, as
    the sweep in `folder` would train it.

    Raises `UserError` for a folder without a finished sweep, and for a budget that its corpus has too few
    tokens for.
    """
    sweep = TrainedSweep.read(folder)
    width = sweep.nearest_width(n_opt, count)
    config = _alone(sweep.config, sweep.rates, width, flops)
    planned = replace(sweep, config=config).cells(flops, [width])[0]
    cell, recipe = planned.cell, planned.cell.recipe
    model, schedule = recipe.model, recipe.schedule
    state, activations = needed_bytes(recipe, Execution())
    seconds, seconds_from = _seconds(cell, read_rows(Store(folder), (RUNS,)))
    return Rung(
        cell_id=cell.cell_id,
        flops=flops,
        width=width,
        depth=model.depth,
        heads=model.heads,
        head_dim=model.head_dim,
        ff_width=model.ff_width,
        n_params_total=recipe.ledger.params("total"),
        n_params_non_embedding=recipe.ledger.params("non_embedding"),
        n_params_body=recipe.ledger.params("body"),
        n_tokens=cell.tokens,
        batch_size=recipe.batch_size,
        batch_tokens=recipe.batch_tokens,
        steps=cell.steps,
        schedule=schedule.name,
        warmup_steps=schedule.warmup_steps,
        decay_steps=cell.steps - schedule.decay_start(cell.steps),
        peak_lr=recipe.optimizer.peak_lr,
        lr_rule=planned.lr_rule,
        state_bytes=state,
        activation_bytes=activations,
        seconds=seconds,
        seconds_from=seconds_from,
        command=sweep_command(config, folder, sweep.config),
    )


def _alone(config: SweepConfig, rates: Rates, width: int, flops: float) -> SweepConfig:
    """The config of one cell under one seed, at rates that are tuned."""
    return config.with_options(
        budgets=(flops,),
        ladder=(width,),
        sizes=1,
        centre_width=width,
        centre_budget=flops,
        rates=rates,
        seeds=1,
        checks=False,
    )


def _seconds(cell: CellSpec, rows: Sequence[Row]) -> tuple[float | None, str]:
    """Seconds of training, by the FLOP/s of the sweep's own runs: interpolated in the logarithm of the FLOPs
    of a step, and held beyond the least and the largest measured; and how."""
    speeds: dict[tuple[float, int], list[float]] = {}
    for row in rows:
        if row.step_seconds:
            step_flops = row.flops / row.steps
            speeds.setdefault((step_flops, row.d_model), []).append(step_flops / row.step_seconds)
    if not speeds:
        return None, "no run of the sweep says how long its steps took"
    places = sorted(speeds)
    x_K = np.log([step_flops for step_flops, _ in places])
    speed_K = [median(speeds[place]) for place in places]
    x = math.log(cell.flops / cell.steps)
    speed = float(np.interp(x, x_K, speed_K))
    after = int(np.searchsorted(x_K, x))
    near = [places[k][1] for k in (after - 1, after) if 0 <= k < len(places)]
    widths = " and ".join(map(str, dict.fromkeys(near)))
    held = "" if len(near) > 1 else ", held beyond it"
    return cell.flops / speed, f"{speed:.3g} FLOP/s, as this sweep's runs of width {widths} had{held}"
