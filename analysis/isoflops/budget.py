"""`Budget`: what the runs of one compute budget say, by approach 1 or 2."""

from __future__ import annotations

from dataclasses import dataclass

from isoflop.analysis.uncertainty.intervals import Interval


@dataclass(frozen=True)
class Budget:
    """One IsoFLOP curve (approach 2) or one point of the envelope (approach 1).

    `flops`: FLOPs; `n_opt`: parameters, `d_opt`: tokens, `loss_opt`: nats per token at the minimum, None
    where the runs do not bracket one; `runs`: how many made the curve. The fields below are approach 2's, and
    None for approach 1; logarithms are natural.
    """

    flops: float
    n_opt: float | None
    d_opt: float | None
    loss_opt: float | None
    interior: bool | None
    """The minimum lies strictly between the smallest and the largest size (approach 1: sizes on both sides
    were run at nearly this compute)."""
    convex: bool | None
    """The least-squares parabola in log N bends upwards, whichever curve gave the minimum."""
    runs: int
    n_interval: Interval | None = None
    """Bootstrap interval of `n_opt`, parameters. None at an end that the runs leave open: too many redraws
    had their minimum at or beyond that end, or none at all."""
    curve: tuple[float, float, float] | None = None
    """The parabola c0 + c1 x + c2 x^2, nats, in x = log N."""
    n_log_sd: float | None = None
    """Standard deviation of log n_opt over the redraws that have a minimum within the runs, times one over
    their share (Porian et al. 2024, `n_star_std`); None where under half have one."""
    centring: float | None = None
    """Where the parabola's vertex lies in the runs' range of log N: 0 in the middle, -1 and 1 at the smallest
    and the largest size, further outside. None without a vertex."""
    width: float | None = None
    """log of the largest over the smallest size."""
    half_width: float | None = None
    """How far log N may move from the vertex before the parabola rises by 0.01 nats per token."""
    bias: float | None = None
    """What the same curve makes of the fitted surface L(N, D) at these N and D, without noise: log N at its
    minimum less log N_opt of the surface. None where no surface could be fitted, or the curve misses."""
    bias_percent: float | None = None
    """The same in percent of N."""
