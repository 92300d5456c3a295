"""Is a difference over the same few runs beyond chance? Resampling whole blocks of dependent runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtrit

from isoflop.analysis.result import Interval
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.uncertainty.resampling import trunks_of

REDRAWS = 4000
"""Resamples: a 95% interval's ends then vary by a hundredth of its width."""
FEWEST_BLOCKS = 4
"""Blocks below which no interval is given: a handful of redraws is no distribution."""


@dataclass(frozen=True)
class Blocks:
    """The number of each of R runs' block: its shared trunk, or itself."""

    member_R: np.ndarray
    description: str

    def interval(self, gap_R: np.ndarray, level: float, seed: int) -> Interval:
        """The interval of the mean of R differences; (None, None) with fewer than `FEWEST_BLOCKS` blocks.

        Percentiles of resampled blocks, further out than `level` says by what a t interval is wider than a
        normal one (Hesterberg 2015, The American Statistician 69, section 3.1.2): plain percentiles of
        seven runs hold the truth much too rarely.
        """
        blocks = int(self.member_R.max()) + 1
        if blocks < FEWEST_BLOCKS:
            return None, None
        rng = np.random.default_rng([seed, 3])
        weight_BxR = rng.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=REDRAWS)[:, self.member_R]
        # Over the runs drawn, not over R: blocks differ in size, and so do resamples.
        mean_B = weight_BxR @ gap_R / weight_BxR.sum(axis=1)
        # The bootstrap's variance is the sample's with n in the denominator, hence sqrt(n / (n - 1)).
        reach = np.sqrt(blocks / (blocks - 1)) * stdtrit(blocks - 1, 0.5 * (1 + level))
        tail = float(ndtr(-reach))
        low, high = np.quantile(mean_B, [tail, 1 - tail])
        return float(low), float(high)


def blocks_of(table: RunTable) -> Blocks:
    """Runs of one trunk are one block."""
    trunk_R = trunks_of(table)
    if trunk_R is None:
        return Blocks(np.arange(len(table)), f"{len(table)} runs")
    return Blocks(trunk_R, f"{int(trunk_R.max()) + 1} shared trunks, each whole")
