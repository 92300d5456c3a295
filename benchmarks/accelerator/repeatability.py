"""Whether a run gives the same numbers again: packed with others, once more, resumed from a checkpoint."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from isoflop.running import prepare
from isoflop.sweeps.configs.h200_synthetic import SWEEP
from isoflop.train import checkpoint
from isoflop.train.data.corpus import Corpus
from isoflop.train.device import set_up
from isoflop.train.loop import Trained, run_segment, run_segments
from isoflop.train.spec import Recipe, Schedule, Segment

RATE = 0.003
WARMUP_STEPS = 20


def packed_against_solo(data: str, width: int, windows: int, steps: int, members: int) -> dict[str, Any]:
    """Largest difference, in nats, of any step's loss between runs trained together and each alone, and of
    their mean loss over the last tenth of the steps."""
    corpus = prepare(data)
    segments = [
        Segment(_recipe(corpus, width, windows, seed), 0, steps, steps, None) for seed in range(members)
    ]
    together = run_segments(segments, corpus, [None] * members)
    alone = [run_segment(segment, corpus, None) for segment in segments]
    differences = [np.abs(a.losses - b.losses) for a, b in zip(together, alone, strict=True)]
    last = slice(-max(1, steps // 10), None)
    means = [abs(a.losses[last].mean() - b.losses[last].mean()) for a, b in zip(together, alone, strict=True)]
    return {
        "largest_difference": float(np.max(differences)),
        "difference_at_the_end": float(np.max(means)),
        "bitwise": all(_digest(a) == _digest(b) for a, b in zip(together, alone, strict=True)),
    }


def run_twice(data: str, width: int, windows: int, steps: int, cached: bool) -> dict[str, Any]:
    """Whether a run and the same run once more are bitwise equal (losses, parameters, moments), and a digest
    to compare with other processes'. `cached`: compiled programs are kept and found in the cache, as a
    sweep's are."""
    if cached:
        set_up()
    corpus = prepare(data)
    segment = Segment(_recipe(corpus, width, windows, 0), 0, steps, steps, None)
    first, second = (run_segment(segment, corpus, None) for _ in range(2))
    return {
        "bitwise": _digest(first) == _digest(second),
        "largest_difference": float(np.max(np.abs(first.losses - second.losses))),
        "digest": _digest(first),
    }


def resume(data: str, width: int, windows: int, steps: int) -> dict[str, Any]:
    """Whether a run that goes on from a checkpoint halfway ends as an uninterrupted one, bitwise in losses,
    parameters and moments."""
    corpus = prepare(data)
    recipe, half = _recipe(corpus, width, windows, 0), steps // 2
    whole = run_segment(Segment(recipe, 0, steps, steps, None), corpus, None)
    first = Segment(recipe, 0, half, None, None)
    before = run_segment(first, corpus, None)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(before.state, Path(folder) / "state")
        rest = Segment(recipe, half, steps, steps, first.segment_id)
        after = run_segment(rest, corpus, Path(folder) / "state")
    joined = replace(after, metrics={"loss": np.concatenate([before.losses, after.losses])})
    return {
        "bitwise": _digest(joined) == _digest(whole),
        "largest_difference": float(np.max(np.abs(joined.losses - whole.losses))),
    }


def _recipe(corpus: Corpus, width: int, windows: int, seed: int) -> Recipe:
    model = SWEEP.model_at(width, corpus)
    schedule = Schedule("wsd", warmup_steps=WARMUP_STEPS)
    optimizer = SWEEP.optimizer.at(RATE)
    return Recipe(
        model, corpus.spec, optimizer, schedule, windows, seed, seed, SWEEP.parametrization, SWEEP.dtype
    )


def _digest(trained: Trained) -> str:
    """SHA-256 of losses, parameters and moments, the first 16 hex digits."""
    digest = hashlib.sha256(np.ascontiguousarray(trained.losses).tobytes())
    for leaf in jax.tree.leaves(trained.state):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()[:16]
