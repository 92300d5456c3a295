"""A short calibration: seconds a step takes on this machine, measured at a few widths."""

from __future__ import annotations

import contextlib
import json
import math
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from isoflop.base.cache import cache_dir
from isoflop.base.errors import UserError
from isoflop.base.json_values import content_id
from isoflop.sweeps.grids.segments import Tree
from isoflop.sweeps.launchers import Launcher, OpenLauncher
from isoflop.sweeps.plan import Plan, StepSeconds
from isoflop.sweeps.queue.board import Board
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.stage import complete_stage
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.data.batches import CHUNK
from isoflop.train.data.fetching import announce
from isoflop.train.spec import CellSpec, Recipe, Segment

MEASURED_WIDTHS = 3
LEAST_WINDOWS = 2
STEPS = 2 * CHUNK
"""One stretch to compile, one to time."""


def calibrate(
    plan: Plan,
    open_launcher: OpenLauncher,
    worker_options: WorkerOptions = WorkerOptions(),
    beside: Path | None = None,
) -> tuple[StepSeconds, int]:
    """Seconds of a step as a function of the recipe, interpolated in logs over FLOPs a step; and how many
    workers train at the same time.

    The smallest, middle and largest widths are measured once a machine and remembered in the cache. What is
    trained for it lies in a folder in `beside`, which the workers must see, and is removed.
    """
    recipes = {p.cell.recipe.model.width: p.cell.recipe for p in (*plan.grid, *plan.tuning, *plan.forecasts)}
    widths = sorted(recipes)
    chosen = sorted({widths[round(i)] for i in np.linspace(0, len(widths) - 1, MEASURED_WIDTHS)})
    with tempfile.TemporaryDirectory(dir=beside, prefix=".calibration-") as folder:
        store = Store(Path(folder))
        with contextlib.closing(open_launcher(store, worker_options)) as launcher:
            found = _measure(plan, store, launcher, worker_options, [recipes[w] for w in chosen])
            workers = launcher.worker_count
    measured = {_step_flops(_shape(recipes[width])): seconds for width, seconds in found}
    x, y = np.log(list(measured)), np.log(list(measured.values()))
    order = np.argsort(x)

    def step_seconds(recipe: Recipe) -> float:
        return math.exp(float(np.interp(math.log(_step_flops(recipe)), x[order], y[order])))

    return step_seconds, workers


def _measure(
    plan: Plan, store: Store, launcher: Launcher, worker_options: WorkerOptions, recipes: Sequence[Recipe]
) -> list[tuple[int, float]]:
    remembered = cache_dir("calibration")
    e = worker_options.execution
    settings = content_id([e.platform, e.devices, e.nodes, e.members, e.remat])
    machine = f"{settings}-{platform.node()}"
    files = {r.model.width: remembered / f"{content_id(_shape(r))}-{machine}.json" for r in recipes}
    missing = [r for r in recipes if not files[r.model.width].exists()]
    if missing:
        announce(f"calibration: {len(missing)} widths, some seconds each; this machine's are remembered")
        segments = [Segment(_shape(r), 0, STEPS, None, None) for r in missing]
        for cell in _train(segments, plan, store, launcher, worker_options):
            # Of the cell, whose record is what was waited for: a segment's is filed a moment later.
            result = store.read_json(f"cells/{cell.cell_id}/cell.json")["result"]
            measured = {"step_seconds": result["step_seconds"]}
            files[cell.recipe.model.width].write_text(json.dumps(measured))
    return [(r.model.width, json.loads(files[r.model.width].read_text())["step_seconds"]) for r in recipes]


def _train(
    segments: Sequence[Segment], plan: Plan, store: Store, launcher: Launcher, worker_options: WorkerOptions
) -> list[CellSpec]:
    """Train the segments, and return a cell for each."""
    tree, cells = Tree(), {}
    for segment in segments:
        cell = CellSpec(segment.recipe, segment.stop, eval_windows=LEAST_WINDOWS)
        tree.segments[segment.segment_id] = segment
        tree.paths[cell.cell_id] = (segment.segment_id,)
        cells[cell.cell_id] = cell
    corpora = {source: str(corpus.folder) for source, corpus in plan.corpora.items()}
    board = Board("calibrate", tree, cells, "none", str(plan.corpus.folder), corpora=corpora)
    complete_stage(board, store, launcher, lease_seconds=worker_options.lease_seconds)
    for name, tries in store.contents().failures.items():
        width = tree.segments[name].recipe.model.width
        raise UserError(f"the calibration of width {width} failed: {store.reason(name, tries)}")
    return list(cells.values())


def _shape(recipe: Recipe) -> Recipe:
    """The recipe with all that doesn't move its speed set to one value."""
    optimizer = replace(recipe.optimizer, peak_lr=1e-3, weight_decay=0.0)
    schedule = replace(recipe.schedule, name="wsd", warmup_steps=1)
    # A teacher's forward pass is priced by its FLOPs (`_step_flops`).
    return replace(
        recipe, optimizer=optimizer, schedule=schedule, init_seed=0, data_seed=0, distillation=None
    )


def _step_flops(recipe: Recipe) -> int:
    return recipe.batch_tokens * (recipe.ledger.train_flops + recipe.teacher_token_flops)
