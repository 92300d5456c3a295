"""Part 1: ceilings, attention kernels, packing and repeatability."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import product
from typing import Any

from benchmarks.accelerator.ceilings import measure_ceilings
from benchmarks.accelerator.part import Part
from benchmarks.accelerator.tables import Row, Table
from benchmarks.accelerator.training import TRAINING_SPEED
from benchmarks.training_speed import RandomTokens
from isoflop.running import prepare
from isoflop.sweeps.configs.h200_synthetic import SWEEP

ATTENTION = Table(
    "attention",
    (
        *("device", "dtype", "context", "windows", "masked", "head_dim", "kernel", "chosen"),
        *("output_error", "gradient_error", "microseconds", "error"),
    ),
    "Four heads, causal; masked: documents kept apart as well. Errors are norms of differences from the "
    "formula in float64 over its norm, the gradients' of the worst of three; microseconds are of a forward "
    "and backward pass. Chosen: the kernel that training takes there.",
)
PACKING = Table(
    "packing",
    (
        *("device", "flags", "width", "windows", "members", "step_seconds", "tokens_per_second"),
        *("flops_per_second", "compile_seconds", "peak_bytes", "stated_bytes", "error"),
    ),
    "Training the ladder's shapes (context 128, 512 ids, bfloat16), so many members in one program: the "
    "seconds of a step of all, and tokens and FLOPs a second of all together. Peak bytes are the "
    "allocator's, stated ones what a sweep reckons with (sweeps/workers/memory.py).",
)
CHECKS = Table(
    "checks",
    (
        *("device", "check", "width", "windows", "steps", "members", "flags", "cached", "bitwise"),
        *("largest_difference", "difference_at_the_end", "digest", "error"),
    ),
    "Differences of a step's training loss, nats. Equal digests: equal losses, parameters and moments in "
    "another process. `cached`: the compiled programs are those of the first such process.",
)
TABLES = (ATTENTION, PACKING, CHECKS)

HEAD_DIMS = (64, 16, 8, 32, 128, 12, 4, 2, 6)
DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


def measure(part: Part, device: str) -> None:
    """All of it, what matters most first."""
    facts, ladder, text = {"device": device}, ((128, 64),), ((1024, 16),)
    measure_ceilings(part, facts)
    _attention(part, facts, "bfloat16", ladder, masks=(False,))
    _checks(part, facts)
    if part.small:
        _packing(part, facts, widths=(16,), members=(2,))
        return
    _packing(part, facts, widths=(64, 256, 640), members=(1, 8, 32))
    _packing(part, facts, widths=(64,), members=(8,), flags=DETERMINISTIC)
    _attention(part, facts, "bfloat16", ladder, masks=(True,))
    _attention(part, facts, "bfloat16", text, masks=(False, True), head_dims=(64, 16, 32, 128))
    _packing(part, facts, widths=(32, 128), members=(1, 8, 32))
    _packing(part, facts, widths=(64, 256, 640, 32, 128), members=(2, 4, 16))
    _attention(part, facts, "float32", ladder, masks=(False,), head_dims=(16, 64, 2))


def _attention(
    part: Part,
    facts: Row,
    dtype: str,
    shapes: tuple[tuple[int, int], ...],
    masks: tuple[bool, ...],
    head_dims: tuple[int, ...] = HEAD_DIMS,
) -> None:
    if part.small:
        shapes, head_dims = ((16, 4),), (8,)
    settings = [
        {
            "dtype": dtype,
            "context": context,
            "windows": windows,
            "masked": masked,
            "head_dim": head_dim,
            "kernel": kernel,
        }
        for (context, windows), masked, head_dim in product(shapes, masks, head_dims)
        for kernel in _kernels(dtype, head_dim, part.small)
    ]
    function = "benchmarks.accelerator.attention.attention"
    part.measure(ATTENTION, function, settings, seconds=5, limit=60, facts=facts)


def _kernels(dtype: str, head_dim: int, small: bool) -> tuple[str, ...]:
    """Those that take the shape: cuDNN's wants half precision and a multiple of 8 features."""
    flash = dtype == "bfloat16" and head_dim % 8 == 0 and not small
    return ("cudnn", "xla", "plain") if flash else ("xla", "plain")


def _checks(part: Part, facts: Row) -> None:
    """All at the same time, for none is timed; but that which wants to find programs in the cache."""
    shape = {"data": SWEEP.data, "width": 128, "windows": 64, "steps": 256}
    if part.small:
        shape = {"data": "synthetic:markov,order=1,vocab=32,branch=8", "width": 16, "windows": 2, "steps": 24}
    prepare(shape["data"])  # once, and not by each of them

    def check(each: tuple[str, dict[str, Any], str]) -> None:
        function, setting, flags = each
        part.measure(
            CHECKS,
            f"benchmarks.accelerator.repeatability.{function}",
            [setting],
            seconds=40,
            limit=150,
            env={"XLA_FLAGS": flags} if flags else {},
            facts={**facts, "check": function, "flags": flags},
        )

    together = list(_settings_of_checks(shape, part.small))
    with ThreadPoolExecutor(1 if part.small else len(together)) as pool:
        list(pool.map(check, together))
    if not part.small:
        check(together[0])


def _settings_of_checks(shape: Row, small: bool) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Each check with what it is called with, and XLA's flags."""
    yield "run_twice", {**shape, "cached": True}, ""
    yield "packed_against_solo", {**shape, "members": 2 if small else 4}, ""
    yield "resume", dict(shape), ""
    if small:
        return
    for flags in ("", DETERMINISTIC):
        for _ in range(2):
            yield "run_twice", {**shape, "cached": False}, flags
    yield "resume", dict(shape), DETERMINISTIC


def _packing(
    part: Part, facts: Row, widths: tuple[int, ...], members: tuple[int, ...], flags: str = ""
) -> None:
    """A process a width, its peak of memory rising with the members."""
    windows = 2 if part.small else SWEEP.batch_size
    for width in widths:
        model = SWEEP.model_at(width, RandomTokens(64 if part.small else 512))
        setting = {"model": asdict(model), "batch": windows, "dtype": SWEEP.dtype}
        settings = [{**setting, "members": count} for count in members]
        named = {**facts, "width": width, "windows": windows, "flags": flags}
        env = {"XLA_FLAGS": flags} if flags else {}
        part.measure(PACKING, TRAINING_SPEED, settings, seconds=20, limit=120, facts=named, env=env)
