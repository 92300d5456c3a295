"""lr(N, D) = K N^n D^d: the peak learning rate from size and token horizon.

Li et al. (2025), Predictable Scale, part I: Optimal Hyperparameter Scaling Law (Step Law): the
rate rises with the tokens, D^.307. Bjorck et al. (2024), Scaling Optimal LR Across Token Horizons, fit the
same form to runs of one batch size and find N^-.23 D^-.32, falling with the tokens; they state no K. The two
are not at odds where a batch grows with D, as Step Law's does, and where it does not.
"""

from __future__ import annotations

import functools
import math

from isoflop.analysis.laws.law import Published, Slice
from isoflop.analysis.laws.power_law import PowerLaw

BJORCK = (-0.23, -0.32)
"""Exponents of N and D in Bjorck et al. (2024), as others quote them."""
DELPHI = -0.3
"""Exponent of the token horizon in the rule of Marin's Delphi (2026), of an optimizer without weight decay:
with it a forecast 300 times beyond the fit was right to .2%, without it training diverged at 30 times."""
STEP_DATA = "step-law/steplaw at 32a8f4c"
StepLaw = functools.partial(
    Published, seen="code", count="body", n_range=(214663680.0, 1073741824.0), d_range=(4e9, 1e11)
)
"""A set from the dense runs of step-law/steplaw, whose N is of the blocks alone."""

PUBLISHED = (
    StepLaw("steplaw", (1.79, -0.713, 0.307), source="Li et al. (2025); the bootstrap's means, rounded"),
    StepLaw(
        "steplaw-bootstrap",
        (math.exp(0.586308), -0.712922, 0.307491),
        source=f"{STEP_DATA}, data/1004_fitted_lr_bs_scaling_model_parameters.csv: means of 1,000 fits",
        standard_errors=(math.exp(0.586308) * 0.6237, 0.0299, 0.0191),
    ),
    StepLaw(
        "steplaw-released-runs",
        (math.exp(3.404578), -0.823477, 0.288228),
        source=f"{STEP_DATA}, data/dense_lr_bs_loss.csv: the rate of least smoothed loss at each of 17 "
        "(N, D), least squares of the logs, computed here",
        note="not the printed law: by the authors' own script the released runs give N^-.767 D^.197 (their "
        "issue 10); see docs/not-reproducible.md",
    ),
)

LAW = PowerLaw(("N", "D"), ("n", "d"), (-12.0, -2.0)).law(
    "rate_by_size_and_tokens",
    equation="lr(N, D) = K N^n D^d",
    source="Li et al. (2025); Bjorck et al. (2024) have d < 0",
    family="hyperparameters",
    summary="the peak learning rate from size and tokens (Step Law; Bjorck)",
    target="lr",
    conventions="N of the blocks alone; AdamW, the rate at its peak, the batch tuned with it",
    needs="runs whose rate was tuned, at several sizes and several horizons a size",
    blind_to="the batch: at a fixed one the best rate falls with D (Bjorck), at a tuned one it rises",
    drawn=Slice("D", 1e9, 1e13, (("N", 1e9),)),
    published=PUBLISHED,
)
