"""A part's time, and its measurements: each a row of a table, whether it gave a number or not."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.accelerator.tables import NO_TIME, Row, Table
from benchmarks.processes import MeasurementError, Measurer

START_SECONDS = 15.0
"""What a process takes to import JAX and find its device, at most."""
NOTHING: Row = MappingProxyType({})


@dataclass(frozen=True)
class Part:
    """A part that is being measured. `out`: the folder of its tables; `deadline`: of `time.monotonic()`;
    `small`: shapes that prove only that it runs, on a CPU; `torch_python`: the interpreter that has torch."""

    out: Path
    deadline: float
    small: bool = False
    torch_python: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held to write a row, for measurements may come from several threads."""

    @property
    def left(self) -> float:
        """Seconds until the part should be over."""
        return self.deadline - time.monotonic()

    @property
    def env(self) -> dict[str, str]:
        """What measurements have in their environment."""
        return {"JAX_PLATFORMS": "cpu"} if self.small else {}

    def append(self, table: Table, row: Row) -> None:
        """Write a row of a table, and show it."""
        with self.lock:
            table.append(self.out, row)
        given = {name: row[name] for name in table.columns if row.get(name) is not None}
        shown = " ".join(f"{k}={v:.5g}" if isinstance(v, float) else f"{k}={v}" for k, v in given.items())
        print(f"[{self.left:4.0f} s left] {table.name}: {shown}", file=sys.stderr, flush=True)

    def measure(
        self,
        table: Table,
        function: str,
        settings: Iterable[Row],
        *,
        seconds: float,
        limit: float,
        fresh: bool = False,
        env: Mapping[str, str] = NOTHING,
        facts: Row = NOTHING,
        finish: Callable[[Row], Row] = lambda result: {},
    ) -> list[dict[str, Any]]:
        """Call a function, by its module and name, for each setting; append it with its result and `facts`.

        `seconds`: what one is expected to take; none is begun without so much time. `limit`: what one may
        take. `fresh`: each in a process of its own, where a peak of memory is asked for; else in one process
        until one fails. `finish`: columns that follow from a result. Returns the rows that have one.
        """
        results: list[dict[str, Any]] = []
        with Measurer(function, self.env | dict(env)) as measurer:
            for setting in settings:
                row = {**facts, **setting}
                starting = START_SECONDS if measurer.process is None else 0.0
                if self.left < seconds + starting:
                    self.append(table, row | {"error": NO_TIME})
                    continue
                try:
                    result = measurer.measure(setting, min(limit + starting, self.left))
                except MeasurementError as error:
                    self.append(table, row | {"error": str(error)})
                else:
                    row |= {**result, **finish(result)}
                    results.append(row)
                    self.append(table, row)
                if fresh:
                    measurer.close()
        return results
