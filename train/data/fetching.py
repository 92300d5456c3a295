"""What a person is told while data are fetched: before, what and how much; then, how far it is."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


def announce(text: str) -> None:
    """Says on stderr what is about to be fetched."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(name: str, total: float) -> Iterator[Callable[[str, float], None]]:
    """Shows how far it is: a bar on a terminal, elsewhere a line a step. What it gives takes the name of each
    step and its share of `total`, when it is done."""
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
