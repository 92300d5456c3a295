"""What the device can do at most, as a table that parts 1 and 2 share."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.accelerator.part import Part
from benchmarks.accelerator.tables import Row, Table

CEILINGS = Table(
    "ceilings",
    ("device", "what", "size", "value", "unit", "error"),
    "The best of five: products of square bfloat16 matrices of random numbers, and copies of so many "
    "gigabytes from the device to itself, bytes read and written both counted.",
)


def measure_ceilings(part: Part, facts: Row) -> None:
    """Matrix products of several sizes, and copies."""
    measure_products(part, facts, (256,) if part.small else (8192, 16384, 4096, 2048, 1024))
    settings = [{"size": size} for size in ((0.01,) if part.small else (4, 1))]
    named = {**facts, "what": "copy", "unit": "bytes/s"}
    part.measure(CEILINGS, "benchmarks.ceilings.copy_rate", settings, seconds=5, limit=60, facts=named)


def measure_products(part: Part, facts: Row, sizes: Sequence[int]) -> float | None:
    """The matrix peak, FLOP/s: the best of these sizes; None where none could be measured."""
    named = {**facts, "what": "matrix product", "unit": "FLOP/s"}
    settings = [{"size": size} for size in sizes]
    function = "benchmarks.ceilings.matrix_peak"
    rows = part.measure(CEILINGS, function, settings, seconds=5, limit=60, facts=named)
    return max((row["value"] for row in rows), default=None)
