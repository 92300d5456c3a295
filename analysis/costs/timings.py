"""Measured times of serving beside what the forecast of serving makes of the machine's own ceilings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from isoflop.analysis.costs.estimate import Estimate
from isoflop.analysis.costs.serving import Work, operation_seconds
from isoflop.analysis.tables.cells import as_floats, as_texts, listed
from isoflop.analysis.tables.reading import locate, read_table, tidy
from isoflop.analysis.tables.selecting import select
from isoflop.base.errors import UserError
from isoflop.base.json_values import Serializable

TEXTS = ("weights", "phase", "device", "computed_in")
WORK = ("linear_flops", "attention_flops", "weight_bytes", "cache_bytes")
CEILINGS = ("peak_flops_per_second", "memory_bytes_per_second", "cached_bytes_per_second")
NUMBERS = ("d_model", "batch", "prompt", "seconds", "seconds_fastest", *WORK, *CEILINGS)


@dataclass(frozen=True)
class Timing:
    """A measured time, in seconds, and its forecast."""

    d_model: int
    weights: str
    batch: int
    prompt: int
    phase: str
    """prefill, of a batch of prompts; or decode, a step of it."""
    seconds: float
    """The median of its repeats."""
    seconds_fastest: float
    forecast: Estimate
    """By the peak and the bandwidth of memory that this device reached at most, anywhere in the table."""
    cached_roofline: float
    """Seconds at the roofline of the same peak and the rate at which as many bytes are read again and again,
    from a processor's cache where they fit one."""

    @property
    def floor_holds(self) -> bool:
        """Whether no repeat was faster than the roofline."""
        return self.seconds_fastest >= self.forecast.roofline

    @property
    def in_range(self) -> bool:
        """Whether the median is in the forecast's range."""
        return self.forecast.low <= self.seconds <= self.forecast.high

    @property
    def share(self) -> float:
        """Of the median, what the roofline takes."""
        return self.forecast.roofline / self.seconds

    @property
    def cached_share(self) -> float:
        """Of the median, what the roofline from a cache takes."""
        return self.cached_roofline / self.seconds


@dataclass(frozen=True)
class Timings(Serializable):
    """Timings of a table, in its order."""

    source: str
    timings: tuple[Timing, ...]
    warnings: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Timing]:
        return iter(self.timings)

    def of_phase(self, phase: str) -> tuple[Timing, ...]:
        """Those of prefill, or of decode."""
        return tuple(timing for timing in self.timings if timing.phase == phase)


def load_timings(source: str | Path | pd.DataFrame, *, where: str | None = None) -> Timings:
    """The timings of a table that `isoflop evaluate DIR serving` wrote, each with its forecast.

    Args:
        source: the table, a file or a data frame.
        where: `"column=value,..."`: only these rows.

    Raises:
        UserError: one line that names what the table lacks.
    """
    if isinstance(source, pd.DataFrame):
        name, frame = "the table", tidy(source, "the table")
    else:
        name, frame = str(source), read_table(locate(source)[0])
    if where:
        frame = select(frame, where, name, list(map(str, frame.columns)))
    if missing := [column for column in (*TEXTS, *NUMBERS) if column not in frame.columns]:
        raise UserError(
            f"{name} is no table of timings: it lacks {listed(missing)}; isoflop evaluate DIR serving writes "
            "one"
        )
    numbers = {column: as_floats(frame, column) for column in NUMBERS}
    for column, values in numbers.items():
        if not np.all(np.isfinite(values) & (values > 0)):
            raise UserError(f"{name}: {column} has a value that is not above zero")
    texts = {column: as_texts(frame, column).tolist() for column in TEXTS}
    peak, memory, _ = CEILINGS
    # What else ran on the machine may have held the ceilings down while one model was timed.
    numbers[peak] = _most(numbers[peak], list(zip(texts["device"], texts["computed_in"], strict=True)))
    numbers[memory] = _most(numbers[memory], texts["device"])
    return Timings(name, tuple(_timing(texts, numbers, row) for row in range(len(frame))))


def _most(values: np.ndarray, keys: Sequence[object]) -> np.ndarray:
    """In the place of each value, the largest of those with the same key."""
    most: dict[object, float] = {}
    for key, value in zip(keys, values, strict=True):
        most[key] = max(value, most.get(key, value))
    return np.array([most[key] for key in keys])


def _timing(texts: dict[str, list[str]], numbers: dict[str, np.ndarray], row: int) -> Timing:
    own = {column: float(values[row]) for column, values in numbers.items()}
    # As in `Replica.step`: products with weights, then attention over the cache.
    works = (
        Work(own["linear_flops"], own["weight_bytes"]),
        Work(own["attention_flops"], own["cache_bytes"]),
    )
    peak, memory, cached = (own[name] for name in CEILINGS)
    return Timing(
        d_model=round(own["d_model"]),
        weights=str(texts["weights"][row]),
        batch=round(own["batch"]),
        prompt=round(own["prompt"]),
        phase=str(texts["phase"][row]),
        seconds=own["seconds"],
        seconds_fastest=own["seconds_fastest"],
        forecast=operation_seconds(works, peak, memory),
        cached_roofline=operation_seconds(works, peak, max(memory, cached)).roofline,
    )
