"""Part 2: training speed by size, alone and packed, against the matrix peak and torch.compile."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from benchmarks.accelerator.ceilings import measure_products
from benchmarks.accelerator.part import Part
from benchmarks.accelerator.tables import NO_TIME, Row, Table
from benchmarks.accelerator.training import TRAINING_SPEED
from benchmarks.processes import MeasurementError
from benchmarks.torch_jobs import check_peer, has_torch, job_of, run_peer
from benchmarks.training_speed import CALL_SECONDS, recipe_of
from isoflop.models import family_of_size
from isoflop.train.data.batches import CHUNK
from isoflop.train.spec import Recipe

SPEED = Table(
    "speed",
    (
        *("device", "size", "width", "depth", "n_params_non_embedding", "who", "members", "windows"),
        *("tokens_per_second", "mfu", "mfu_causal", "vs_torch", "compile_seconds"),
        *("peak_bytes", "stated_bytes", "error"),
    ),
    "Training in bfloat16 at context 1,024 on random tokens, bytes below ten million parameters and 32,768 "
    "ids from there. mfu: FLOP/s by the exact ledger over the matrix peak measured here, the masked half "
    "of attention counted; mfu_causal: not counted. vs_torch: tokens per second over torch.compile's in "
    "its default mode, with flash attention and the fused AdamW.",
)

TABLES = (SPEED,)

SIZES = {"1M": 1e6, "3M": 3e6, "10M": 1e7, "30M": 3e7, "100M": 1e8, "350M": 3.5e8}
FIRST, THEN = ("1M", "10M", "100M", "350M"), ("3M", "30M")
BATCH_TOKENS = 1 << 16
"""Tokens of a step, packed or alone; half of it from 100 million parameters."""
LARGE_VOCABULARY_FROM = 1e7
"""Parameters; below, a vocabulary of 32,768 would outweigh the body."""
HALF_BATCH_FROM = 1e8
MEMBERS = 4
LARGEST_PACKED = 3e7
TORCH_FLOPS = 2e14
"""FLOP/s that torch is taken to reach, to size what is timed of it."""
COMPILING = 3
"""Torch's programs compiled at a time: more would not fit an 80 GB device once they take their step."""
MODES = ("default", "max-autotune-no-cudagraphs")


@dataclass
class Measured:
    """What later rows of the part are set against: the matrix peak, FLOP/s, and torch's tokens per second by
    size."""

    peak: float | None
    torch: dict[str, float]


def measure(part: Part, device: str) -> None:
    """The sizes that matter most first; whoever is measured, alone before packed."""
    sizes = {"tiny": 1e5} if part.small else SIZES
    recipes = {name: recipe_of_size(size, part.small) for name, size in sizes.items()}
    facts = {"device": device}
    peak = measure_products(part, facts, (256,) if part.small else (8192, 4096))
    measured = Measured(peak, {})
    first, then = (tuple(recipes), ()) if part.small else (FIRST, THEN)
    torch = _torch_is_ready(part, facts, [recipes[name] for name in (*first, *then)])
    for names in (first, then):
        for name in names:
            if torch:
                _torch(part, facts, name, recipes[name], MODES[0], measured)
            _ours(part, facts, name, recipes[name], 1, measured)
        for name in names:
            if sizes[name] <= LARGEST_PACKED:
                _ours(part, facts, name, recipes[name], MEMBERS, measured)
    for name in (*first, *then):
        if torch and not part.small:
            _torch(part, facts, name, recipes[name], MODES[1], measured)


def recipe_of_size(size: float, small: bool = False) -> Recipe:
    """The family's member of about `size` parameters without the embedding."""
    vocab_size = 256 if size < LARGE_VOCABULARY_FROM else 32_768
    model = family_of_size(size, vocab_size=vocab_size, context_length=64 if small else 1024)
    tokens = 256 if small else BATCH_TOKENS // (2 if size >= HALF_BATCH_FROM else 1)
    return recipe_of(model, tokens // model.context_length, "bfloat16")


def _torch_is_ready(part: Part, facts: Row, recipes: Sequence[Recipe]) -> bool:
    """Whether torch is there and its model is JAX's; a row says so where it isn't.

    Meanwhile torch compiles its programs side by side, so that each is in its cache when it is timed.
    """
    limit = part.left / 3

    def compile_one(recipe: Recipe) -> None:
        with suppress(MeasurementError):  # what is wrong shows again when it is timed
            run_peer(_torch_job(recipe, MODES[0], part, steps=1, repeats=0), part.torch_python, limit)

    try:
        if not has_torch(part.torch_python):
            raise MeasurementError("there is no torch: only isoflop is measured")
        with ThreadPoolExecutor(COMPILING) as pool:
            # The largest first: they take the longest, and so all end at about the same time.
            largest_first = sorted(recipes, key=lambda recipe: -recipe.ledger.params())
            compiled = [pool.submit(compile_one, recipe) for recipe in largest_first if not part.small]
            check_peer(part.torch_python, limit)
            for each in compiled:
                each.result()
    except MeasurementError as error:
        part.append(SPEED, {**facts, "who": "torch", "error": str(error)})
        return False
    return True


def _torch(part: Part, facts: Row, name: str, recipe: Recipe, mode: str, measured: Measured) -> None:
    row = {**facts, **_shape(name, recipe), "who": f"torch {mode}", "members": 1}
    if part.left < 40:
        part.append(SPEED, row | {"error": NO_TIME})
        return
    per_step = recipe.batch_tokens * recipe.ledger.train_flops
    steps = 3 if part.small else max(3, min(CHUNK, round(CALL_SECONDS * TORCH_FLOPS / per_step)))
    try:
        job = _torch_job(recipe, mode, part, steps, repeats=2 if part.small else 5)
        found = run_peer(job, part.torch_python, min(240.0, part.left))
    except MeasurementError as error:
        part.append(SPEED, row | {"error": str(error)})
        return
    tokens = found["tokens_per_second"]
    if mode == MODES[0]:
        measured.torch[name] = tokens
    row |= {"tokens_per_second": tokens, "compile_seconds": found["first_step_seconds"]}
    part.append(SPEED, row | {"peak_bytes": found.get("peak_bytes")} | _shares(recipe, tokens, measured.peak))


def _torch_job(recipe: Recipe, mode: str, part: Part, steps: int, repeats: int) -> dict[str, Any]:
    settings = {"mode": mode, "threads": 1, "optimizer": "fused", "device": "cpu" if part.small else "cuda"}
    return job_of(recipe) | settings | {"steps": steps, "repeats": repeats}


def _ours(part: Part, facts: Row, name: str, recipe: Recipe, members: int, measured: Measured) -> None:
    row = {**facts, **_shape(name, recipe), "who": "isoflop"}
    setting = {**job_of(recipe), "members": members}
    peer = measured.torch.get(name)

    def finish(result: Row) -> Row:
        tokens = result["tokens_per_second"]
        return {**_shares(recipe, tokens, measured.peak), "vs_torch": tokens / peer if peer else None}

    part.measure(
        SPEED, TRAINING_SPEED, [setting], seconds=40, limit=180, fresh=True, facts=row, finish=finish
    )


def _shape(name: str, recipe: Recipe) -> Row:
    return {
        "size": name,
        "width": recipe.model.width,
        "depth": recipe.model.depth,
        "n_params_non_embedding": recipe.ledger.params(),
        "windows": recipe.batch_size,
    }


def _shares(recipe: Recipe, tokens_per_second: float, peak: float | None) -> dict[str, float | None]:
    """Of the peak that training takes, with and without the masked half of attention."""
    flops = recipe.ledger.train_flops, recipe.ledger.train_flops - recipe.ledger.causal_half
    whole, causal = (tokens_per_second * each / peak if peak else None for each in flops)
    return {"mfu": whole, "mfu_causal": causal}
