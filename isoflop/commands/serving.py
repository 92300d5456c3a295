"""isoflop serving"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tyro

from isoflop import analysis
from isoflop.arguments import Flag, JsonFlag, parse
from isoflop.base.display import Summary
from isoflop.printing import print_result

if TYPE_CHECKING:
    from isoflop.analysis import Timings

MOST_ROWS = 200
"""Of a table on a terminal."""
PHASES = {
    "prefill": "time to the first token, of a batch of prompts read together",
    "decode": "time per output token, a step of the batch",
}


@dataclass(frozen=True)
class Serving:
    """Measured times of prefill and decode beside the forecast's floor and range, made of the machine's own
    peak and bandwidth: is a time below the roofline, and is it in the range?"""

    table: tyro.conf.Positional[str]
    """A table that isoflop evaluate DIR serving wrote."""
    where: str | None = None
    """Only rows of these values: column=value,... (or !=, <, <=, >, >=)"""
    markdown: Flag = False
    """Print tables in Markdown, to paste into a paper or an issue."""
    as_json: JsonFlag = False


def run(argv: list[str]) -> int:
    """Prints a table a phase."""
    asked = parse(Serving, argv, "serving")
    found = analysis.load_timings(asked.table, where=asked.where)
    lines = [
        (table.markdown() if asked.markdown else table.text(MOST_ROWS)) + "\n" for table in _tables(found)
    ]
    print_result(found, asked.as_json, lines, soft_wrap=True)
    return 0


def _tables(found: Timings) -> Iterator[Summary]:
    for phase, title in PHASES.items():
        timings = found.of_phase(phase)
        if not timings:
            continue
        rows = [
            (
                *(str(x.d_model), x.weights, str(x.batch), str(x.prompt), _milliseconds(x.seconds)),
                _milliseconds(x.forecast.roofline),
                f"{_milliseconds(x.forecast.low)} to {_milliseconds(x.forecast.high)}",
                f"{x.share:.3f}",
                f"{x.cached_share:.3f}",
                _verdict(x.floor_holds, x.in_range, x.seconds > x.forecast.high),
            )
            for x in timings
        ]
        below = sum(not x.floor_holds for x in timings)
        inside = sum(x.in_range for x in timings)
        yield Summary(
            f"{phase}: {title}; milliseconds",
            (
                *("width", "weights", "batch", "prompt", "measured", "roofline", "range"),
                *("roofline over measured", "from a cache", ""),
            ),
            rows,
            [f"{below} of {len(timings)} below the roofline of memory, {inside} in the range"],
        )


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}"


def _verdict(floor_holds: bool, in_range: bool, above: bool) -> str:
    if not floor_holds:
        return "below the roofline"
    return "in the range" if in_range else "above the range" if above else "below the range"
