"""Progress for people: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sweeps.train_cells import View

SURE = 0.03
"""Share of a stage before which the time left is a guess not worth telling: it is mostly compilation."""

LINE_SECONDS = 20.0
"""Without a terminal, at most one line in this time."""


class Reporter:
    """Tells a person what a sweep is doing, on stderr. `seconds`: (stage, seconds) of the stages so far."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.seconds: list[tuple[str, float]] = []
        self._bar: Progress | None = None
        self._told = 0.0
        self._began = 0.0

    def say(self, text: str, style: str = "") -> None:
        """One line."""
        self.console.print(text, style=style, soft_wrap=True)

    def warn(self, text: str) -> None:
        """One line that starts with `warning:`."""
        self.say(f"warning: {text}", style="yellow")

    @contextlib.contextmanager
    def stage(self, name: str, flops: float = 0) -> Iterator[None]:
        """Times a stage; with `flops`, the work it holds, shows a bar that `advance` moves."""
        self._began = self._told = time.monotonic()
        self._total, self._flops, self._name = flops, 0.0, name
        columns = (TextColumn("{task.description:<24}"), BarColumn(), TaskProgressColumn())
        times = (
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        if flops and self.console.is_terminal:
            self._bar = Progress(*columns, *times, console=self.console)
            self._bar.add_task(name, total=flops, note="")
        with self._bar or contextlib.nullcontext():
            yield
        self._bar = None
        seconds = time.monotonic() - self._began
        self.seconds.append((name, seconds))
        if seconds >= 1:
            self.say(f"{name}: {seconds:.0f} s")

    def at(self, flops: float, note: str) -> None:
        """The stage has done `flops` of its work; `note`: what is being trained."""
        self._flops = flops
        now = time.monotonic()
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=flops, note=note)
        elif now - self._told > LINE_SECONDS and flops > SURE * self._total:
            self._told = now
            left = (now - self._began) * (self._total / flops - 1)
            self.say(f"{self._name}: {flops / self._total:.0%}, about {left:.0f} s left; {note}")

    def view(self, view: View, rows: Sequence[dict[str, Any]]) -> None:
        """The folder as it is."""
        done = {s for s in view.board.tree.segments if s not in view.missing}
        flops = sum(view.board.tree.segments[s].flops for s in done)
        self.at(flops, "")
