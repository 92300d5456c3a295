"""Progress for people: one live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from isoflop.analysis.approaches.quick_fit import quick_fit
from isoflop.sweeps.stage import View

SURE = 0.03
"""Share of a stage before which the time left is a guess not worth telling: it is mostly compilation."""

LINE_SECONDS = 20.0
"""Without a terminal, at most one line in this time."""

SHOWN_TASKS, SHOWN_BUDGETS = 8, 8
"""With the head they fit on a terminal of 24 lines."""

BAR_WIDTH = 24
"""Beside the longest stage's name and the time left it fits in 80 columns."""

ENDED = ("finished", "diverged", "failed")

Expected = Callable[[float, float], float]


@dataclass(frozen=True)
class Task:
    """A segment that a worker is at. `expected`: the loss that the runs so far predict for its cell."""

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
class Stage:
    """A stage at one moment. FLOPs of what this run of the command has to do: `total`, and `done` so far;
    `rows` as in the run table."""

    name: str
    total: float
    done: float
    seconds: float
    workers: int
    tasks: Sequence[Task]
    rows: Sequence[dict[str, Any]]

    @property
    def share(self) -> float:
        """Done, of the whole."""
        return self.done / self.total if self.total else 1.0

    @property
    def left(self) -> float | None:
        """Seconds left at the pace so far; None as long as that is a guess."""
        return self.seconds * (1 / self.share - 1) if self.share > SURE else None

    def counted(self) -> str:
        """Cells by what became of them."""
        counts = {s: sum(row["status"] == s for row in self.rows) for s in ENDED}
        lost = "".join(f", {counts[s]} {s}" for s in ("diverged", "failed") if counts[s])
        return f"{counts['finished']} of {len(self.rows)} cells{lost}"

    def line(self) -> str:
        """All in one line."""
        left = "" if self.left is None else f", about {_span(self.left)} left"
        task = f"; {self.tasks[0]}" if self.tasks else ""
        return f"{self.name}: {self.counted()}, {self.share:.0%} of the FLOPs{left}{task}"


class Reporter:
    """Tells a person what a sweep is doing, on stderr. `seconds`: (stage, seconds) of the stages so far."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.seconds: list[tuple[str, float]] = []
        self._live: Live | None = None
        self._name, self._total = "", 0.0
        self._told = self._began = 0.0
        self._expected: Expected | None = None
        self._sketched = 0

    def say(self, text: str, style: str = "") -> None:
        """One line; on a terminal broken between words."""
        self.console.print(text, style=style, soft_wrap=not self.console.is_terminal)

    def warn(self, text: str) -> None:
        """One line that starts with `warning:`."""
        self.say(f"warning: {text}", style="yellow")

    @contextlib.contextmanager
    def stage(self, name: str, flops: float = 0) -> Iterator[None]:
        """Times a stage. With `flops`, the work that it holds, `view` shows how far it is."""
        self._began = self._told = time.monotonic()
        self._name, self._total = name, flops
        if flops and self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4, transient=True)
        with self._live or contextlib.nullcontext():
            yield
        self._live = None
        seconds = time.monotonic() - self._began
        self.seconds.append((name, seconds))
        if seconds >= 1:
            self.say(f"{name}: {_span(seconds)}")

    def view(self, view: View, rows: Sequence[dict[str, Any]]) -> None:
        """The folder as it is, and the stage's rows."""
        now = time.monotonic()
        if self._live is None and now - self._told < LINE_SECONDS:
            return
        stage = self._stage(view, rows, now - self._began)
        if self._live:
            self._live.update(draw(stage))
        elif stage.share > SURE:
            self._told = now
            self.say(stage.line())

    def _stage(self, view: View, rows: Sequence[dict[str, Any]], seconds: float) -> Stage:
        segments = view.board.tree.segments
        left = float(sum(segments[name].flops for name in view.missing))
        tasks = []
        for told in (task for beat in view.beats for task in beat.facts.get("tasks", ())):
            segment = segments.get(told["segment"])
            if segment is None or told["segment"] not in view.missing:
                continue
            left -= segment.flops * told["steps"] / (segment.stop - segment.start)
            cell = view.board.ends.get(told["segment"])
            row = next((row for row in rows if row["cell_id"] == cell), None) if cell else None
            width, step = segment.recipe.model.width, segment.start + told["steps"]
            tasks.append(Task(width, step, segment.stop, told["loss"], self._expect(rows, row)))
        return Stage(self._name, self._total, self._total - left, seconds, len(view.beats), tasks, rows)

    def _expect(self, rows: Sequence[dict[str, Any]], row: dict[str, Any] | None) -> float | None:
        """By a law sketched from the finished rows, anew when there are more of them."""
        finished = [r for r in rows if r["status"] == "finished"]
        if len(finished) > self._sketched or self._sketched > len(rows):
            self._sketched = len(finished)
            columns = ("n_params_non_embedding", "n_tokens", "loss")
            self._expected = quick_fit(*(np.array([r[c] for r in finished], dtype=float) for c in columns))
        if row is None or self._expected is None:
            return None
        return self._expected(row["n_params_non_embedding"], row["n_tokens"])


def draw(stage: Stage) -> RenderableType:
    """The live view of a stage."""
    left = "" if stage.left is None else f", about {_span(stage.left)} left"
    head = Table.grid(padding=(0, 1))
    head.add_row(
        _line(stage.name, "bold"),
        ProgressBar(total=1.0, completed=min(stage.share, 1.0), width=BAR_WIDTH),
        _line(f"{stage.share:.0%}{left}"),
    )
    counted = f"{stage.counted()}; {stage.total:.3g} FLOPs; {stage.workers} at work"
    budgets = Table("budget", "cells", "least loss so far", "at width", box=None, padding=(0, 2))
    for column in budgets.columns:
        column.justify = "right"
    open_budgets = {row["budget"] for row in stage.rows if row["status"] not in ENDED}
    for budget in sorted(open_budgets)[:SHOWN_BUDGETS]:
        own = [row for row in stage.rows if row["budget"] == budget]
        done = [row for row in own if row["status"] == "finished"]
        best = min(done, key=lambda row: row["loss"], default=None)
        loss, width = (f"{best['loss']:.4f}", str(best["d_model"])) if best else ("", "")
        budgets.add_row(f"{budget:.3g}", f"{len(done)}/{len(own)}", loss, width)
    tasks = [_line(f"  {task}", "dim") for task in stage.tasks[:SHOWN_TASKS]]
    more = len(stage.tasks) - SHOWN_TASKS
    rest = [_line(f"  and {more} more", "dim")] if more > 0 else []
    return Group(head, _line(counted), budgets, *tasks, *rest)


def _line(text: str, style: str = "") -> Text:
    """One line, cut where the terminal ends: what wraps moves all that is drawn below it."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _span(seconds: float) -> str:
    """A time for people."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
