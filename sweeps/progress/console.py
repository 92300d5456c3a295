"""Progress for people: one live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from isoflop.analysis.approaches.quick_fit import quick_fit
from isoflop.base.formatting import format_seconds
from isoflop.sweeps.progress.table_files import first_of_each
from isoflop.sweeps.queue.board import Board
from isoflop.sweeps.row import Row
from isoflop.sweeps.stage import Snapshot

MIN_SHARE = 0.03
"""Share of a stage before which the time left is not worth showing: it is mostly compilation."""

LINE_SECONDS = 20.0
"""Without a terminal, at most one line in this time."""

SHOWN_TASKS, SHOWN_BUDGETS = 8, 8
"""The most tasks and budgets that are listed: with the head they fit on a terminal of 24 lines."""

BAR_WIDTH = 24
"""Beside the longest stage's name and the time left it fits in 80 columns."""


@dataclass(frozen=True)
class TaskLine:
    """A segment that a worker trains. `expected`: the loss that the runs so far predict for its cell."""

    width: int
    step: int
    stop: int
    loss: float | None
    expected: float | None

    def __str__(self) -> str:
        loss = "" if self.loss is None else f", loss {self.loss:.3f}"
        expected = "" if self.expected is None else f" ({self.expected:.3f} expected)"
        return f"width {self.width}, step {self.step:,} of {self.stop:,}{loss}{expected}"


@dataclass(frozen=True)
class StageProgress:
    """A stage at one moment. FLOPs of what this run of the command has to do: `total`, and `done` so far."""

    name: str
    total: float
    done: float
    seconds: float
    workers: int
    tasks: Sequence[TaskLine]
    rows: Sequence[Row]

    @property
    def share(self) -> float:
        """The share of the FLOPs that is done."""
        return self.done / self.total if self.total else 1.0

    @property
    def time_left(self) -> str:
        """The time left at the pace so far; empty as long as that is a guess."""
        if self.share <= MIN_SHARE:
            return ""
        return f", about {format_seconds(self.seconds * (1 / self.share - 1))} left"

    @property
    def counts(self) -> str:
        """How many cells are finished, diverged and failed."""
        counts = Counter(row.status for row in self.rows)
        lost = "".join(f", {counts[s]} {s}" for s in ("diverged", "failed") if counts[s])
        return f"{counts['finished']} of {len(self.rows)} cells{lost}"

    def __str__(self) -> str:
        task = f"; {self.tasks[0]}" if self.tasks else ""
        return f"{self.name}: {self.counts}, {self.share:.0%} of the FLOPs{self.time_left}{task}"


class Reporter:
    """Shows a person what a sweep does, on stderr. `seconds`: (stage, seconds) of the stages so far."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.seconds: list[tuple[str, float]] = []
        self._warned: set[str] = set()
        self._live: Live | None = None
        self._name, self._total = "", 0.0
        self._last_line = self._began = 0.0
        self._expected: Callable[[float, float], float] | None = None
        self._fitted_rows = 0

    def say(self, text: str, style: str = "") -> None:
        """Print one line; on a terminal broken between words."""
        self.console.print(text, style=style, soft_wrap=not self.console.is_terminal)

    def warn(self, text: str) -> None:
        """Print one line that starts with `warning:`, the same one once."""
        if text not in self._warned:
            self._warned.add(text)
            self.say(f"warning: {text}", style="yellow")

    @contextlib.contextmanager
    def stage(self, name: str, flops: float = 0) -> Iterator[None]:
        """Time a stage. With `flops`, the work that it holds, `update` shows how far it is."""
        self._began = self._last_line = time.monotonic()
        self._name, self._total = name, flops
        if flops and self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4, transient=True)
        with self._live or contextlib.nullcontext():
            yield
        self._live = None
        seconds = time.monotonic() - self._began
        self.seconds.append((name, seconds))
        if seconds >= 1:
            self.say(f"{name}: {format_seconds(seconds)}")

    def update(self, snapshot: Snapshot[Board], rows: Sequence[Row]) -> None:
        """Show the folder as it is, and the stage's rows."""
        now = time.monotonic()
        if self._live is None and now - self._last_line < LINE_SECONDS:
            return
        progress = self._progress(snapshot, rows, now - self._began)
        if self._live:
            self._live.update(draw(progress))
        elif progress.share > MIN_SHARE:
            self._last_line = now
            self.say(str(progress))

    def _progress(self, snapshot: Snapshot[Board], rows: Sequence[Row], seconds: float) -> StageProgress:
        segments, by_cell = snapshot.board.tree.segments, first_of_each(rows)
        left = float(sum(segments[name].flops for name in snapshot.missing))
        lines = []
        for task in (task for heartbeat in snapshot.heartbeats for task in heartbeat.tasks):
            if task.segment not in snapshot.missing:
                continue
            segment = segments[task.segment]
            left -= segment.flops * task.steps / (segment.stop - segment.start)
            cell = by_cell.get(snapshot.board.cell_of_last_segment.get(task.segment, ""))
            width, step = segment.recipe.model.width, segment.start + task.steps
            lines.append(TaskLine(width, step, segment.stop, task.loss, self._expected_loss(rows, cell)))
        done, workers = self._total - left, len(snapshot.heartbeats)
        return StageProgress(self._name, self._total, done, seconds, workers, lines, rows)

    def _expected_loss(self, rows: Sequence[Row], row: Row | None) -> float | None:
        """The loss by a quick fit to the finished rows, made anew when there are more of them."""
        finished = [row for row in rows if row.is_finished]
        if len(finished) > self._fitted_rows or self._fitted_rows > len(rows):
            self._fitted_rows = len(finished)
            points = [(row.n_params_non_embedding, row.n_tokens, row.loss) for row in finished]
            self._expected = quick_fit(*np.array(points, dtype=float).reshape(-1, 3).T)
        if row is None or self._expected is None:
            return None
        return self._expected(row.n_params_non_embedding, row.n_tokens)


def draw(stage: StageProgress) -> RenderableType:
    """The live view of a stage."""
    head = Table.grid(padding=(0, 1))
    head.add_row(
        _line(stage.name, "bold"),
        ProgressBar(total=1.0, completed=min(stage.share, 1.0), width=BAR_WIDTH),
        _line(f"{stage.share:.0%}{stage.time_left}"),
    )
    budgets = Table("budget", "cells", "least loss so far", "at width", box=None, padding=(0, 2))
    for column in budgets.columns:
        column.justify = "right"
    for budget in sorted({row.budget for row in stage.rows if not row.is_over})[:SHOWN_BUDGETS]:
        own = [row for row in stage.rows if row.budget == budget]
        losses = [(row.loss, row.d_model) for row in own if row.loss is not None]
        best = [f"{min(losses)[0]:.4f}", str(min(losses)[1])] if losses else []
        budgets.add_row(f"{budget:.3g}", f"{len(losses)}/{len(own)}", *best)
    tasks = [_line(f"  {task}", "dim") for task in stage.tasks[:SHOWN_TASKS]]
    more = len(stage.tasks) - SHOWN_TASKS
    rest = [_line(f"  and {more} more", "dim")] if more > 0 else []
    totals = _line(f"{stage.counts}; {stage.total:.3g} FLOPs; {stage.workers} at work")
    return Group(head, totals, budgets, *tasks, *rest)


def _line(text: str, style: str = "") -> Text:
    """One line, cut where the terminal ends: what wraps moves all that is drawn below it."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
