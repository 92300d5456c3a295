"""`next_runs`: which runs next, of any table."""

from __future__ import annotations

from isoflop.analysis.design.proposal import Proposal, propose
from isoflop.analysis.design.targets import parse_target
from isoflop.analysis.options import FitOptions
from isoflop.analysis.run_table import RunTable

WANTED = {"a": 0.02, "b": 0.02, "n_opt": 0.10, "loss": 0.01}
"""Half-widths by target, unless one is given."""


def next_runs(
    table: RunTable,
    target: str = "a",
    half_width: float | None = None,
    max_flops: float | None = None,
    options: FitOptions | None = None,
) -> Proposal:
    """The runs that narrow what is known of `target` most per FLOP.

    Args:
        table: the runs there are.
        target: `a`, `b`, `n_opt@FLOPS` or `loss@FLOPS`.
        half_width: half of the 95% interval wanted; of `n_opt` a share of it, of a loss nats. By default
            .02, .02, .1, .01.
        max_flops: what the runs may cost together; as much as the table's own did unless given.
        options: how the runs are fitted; the proposal rests on that fit, its estimate and interval.

    Raises:
        UserError: an unknown target or law, a number out of range, or a table too small for the law.
    """
    wanted = parse_target(target)
    width = WANTED[wanted.name] if half_width is None else half_width
    return propose(table, wanted, width, max_flops, options)
