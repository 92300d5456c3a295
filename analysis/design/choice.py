"""The one engine behind `plan --next` and the adaptive sweep: guards first, then the criterion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from isoflop.analysis.design.criterion import Criterion, choose
from isoflop.analysis.design.estimate import Estimate
from isoflop.analysis.design.guards import edges, fill, optima, thin, window
from isoflop.analysis.design.space import Pick, Space, Trunk
from isoflop.analysis.result import optimal_size

BRACKETS = "brackets the minimum"
SIZES = "sizes to test the law"
NARROWS = "narrows the interval most per FLOP"
"""Why a run is chosen, in the order of the stages."""
AIM = 0.97
"""Share of the half-width wanted that a round aims at: a round that just reaches it on paper misses it half
of the time."""


@dataclass(frozen=True)
class Progress:
    """What could be trained, what has been, and what is known from it."""

    space: Space
    trunks: Sequence[Trunk]
    loss_FxB: np.ndarray
    """Mean losses by place, nats per token; NaN where no run is."""
    open_FxB: np.ndarray
    """Places where a cell may be trained."""
    known: Estimate | None
    """The target; None before a law can be fitted."""
    guarded: bool = True
    """Whether the guards apply: not where runs lie in no IsoFLOP budgets."""

    def optima(self) -> np.ndarray:
        """log N_opt at each budget: the fitted law's, kept near what has been seen."""
        log_N_B = np.full(len(self.space.budget_B), np.nan)
        if self.known is not None:
            law, params_P = self.known.problem.law, self.known.params_P
            with np.errstate(all="ignore"):
                log_N_B = np.log(optimal_size(law, params_P, self.space.budget_B, self.space.cost))
        return optima(self.space, log_N_B, self.loss_FxB)


@dataclass(frozen=True)
class Choice:
    """The picks in order, each with its reason; and what the guards find lacking, by budget."""

    picks: list[Pick]
    lacking: dict[int, str]


def next_picks(
    progress: Progress, half_width: float, flops: float, round_flops: float | None = None
) -> Choice:
    """What to train within `flops` so that the target's half-width comes to the one wanted.

    The guards' picks come first, the criterion's after them. With `round_flops` the next round alone: only
    the first stage that lacks something, since after it all is fitted again, and by the criterion picks for
    at most `round_flops`, or a single one within `flops` if none is so cheap.
    """
    space, known = progress.space, progress.known
    log_N_B = progress.optima()
    picks: list[Pick] = []
    lacking: dict[int, str] = {}
    if progress.guarded:
        bracketing = edges(space, progress.loss_FxB, log_N_B, progress.open_FxB)
        testing = thin(space, progress.loss_FxB, log_N_B, progress.open_FxB)
        # After a round all is fitted again, so that it serves one stage alone; a plan for all the FLOPs lays
        # out both, and where a budget lacks both the bracket comes first.
        families = (bracketing or testing) if round_flops is not None else testing | bracketing
        lacking = {b: BRACKETS if b in bracketing else SIZES for b in sorted(families)}
        filled = fill(space, progress.trunks, families, flops)
        picks = [replace(pick, why=lacking[pick.budgets[0]]) for pick in filled]
    if known is None or (lacking and round_flops is not None):
        return Choice(picks, lacking)
    criterion = Criterion.of_estimate(known, space, window(space, log_N_B) & progress.open_FxB)
    # The guards' picks narrow the interval too: the criterion begins where they leave it.
    picks, _ = criterion.after(progress.trunks, picks)
    wanted = half_width / known.half_width
    reached, left = picks[-1].ratio if picks else 1.0, flops - sum(pick.flops for pick in picks)
    if reached <= wanted:
        return Choice(picks, lacking)
    if round_flops is None:
        narrowing = choose(criterion, progress.trunks, left, wanted, picks)
    else:
        narrowing = choose(criterion, progress.trunks, min(left, round_flops), AIM * wanted)
        # No move is as cheap as a round: the best one by itself, or the sweep would stop short of its target.
        narrowing = narrowing or choose(criterion, progress.trunks, left, 1.0)[:1]
    return Choice([*picks, *(replace(pick, why=NARROWS) for pick in narrowing)], lacking)
