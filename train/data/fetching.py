"""Messages while data are fetched: before, what and how much; then, the progress."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


def announce(text: str) -> None:
    """Print to stderr what is about to be fetched."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(name: str, total: float) -> Iterator[Callable[[str, float], None]]:
    """Show the progress: a bar on a terminal, elsewhere a line a step. The value is a function that takes the
    name of each step and its share of `total`, once the step is done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=max(total, 1.0))

        def advance(step: str, share: float) -> None:
            bar.update(task, advance=share, description=f"{name}: {step}"[:40])
            if not console.is_terminal:
                announce(f"{name}: {step}")

        yield advance
