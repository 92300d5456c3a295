"""B(D) = K D^d: the batch from the tokens alone, whatever the size.

Li et al. (2025), Predictable Scale, part I: Optimal Hyperparameter Scaling Law (Step Law); and
Bergsma et al. (2025), Power Lines, whose D^.383 karpathy/nanochat uses from a batch of 2^19 tokens that is
best at its 12-layer model's horizon.
"""

from __future__ import annotations

import math

from isoflop.analysis.laws.law import Published, Slice
from isoflop.analysis.laws.power_law import PowerLaw
from isoflop.analysis.laws.rate_by_size_and_tokens import STEP_DATA, StepLaw

NANOCHAT_BATCH, NANOCHAT_TOKENS = 2**19, 10.5 * 110_100_480
"""Tokens a batch, and tokens at which it is best: 10.5 for each of 12 layers' 12 d^2 weights (d = 768) and of
a head of 32,768 rows."""

PUBLISHED = (
    StepLaw("steplaw", (0.58, 0.571), source="Li et al. (2025); the bootstrap's means, rounded"),
    StepLaw(
        "steplaw-bootstrap",
        (math.exp(-0.543542), 0.570944),
        source=f"{STEP_DATA}, data/1004_fitted_lr_bs_scaling_model_parameters.csv: means of 1,000 fits",
        standard_errors=(math.exp(-0.543542) * 0.4372, 0.0187),
    ),
    StepLaw(
        "steplaw-released-runs",
        (math.exp(1.228340), 0.498290),
        source=f"{STEP_DATA}, data/dense_lr_bs_loss.csv: the batch of least smoothed loss at each of 17 "
        "(N, D), least squares of the logs, computed here",
        note="not the printed law: by the authors' own script the released runs give D^.624 (their issue "
        "10); see docs/not-reproducible.md",
    ),
    Published(
        "nanochat",
        (NANOCHAT_BATCH * NANOCHAT_TOKENS**-0.383, 0.383),
        source="karpathy/nanochat, scripts/base_train.py: 2^19 (D/D_ref)^.383 after Bergsma et al. (2025)",
        seen="code",
        note="D_ref is the horizon of its 12-layer model at 10.5 tokens a parameter (12 in other versions, "
        "which makes 5% less)",
    ),
)

LAW = PowerLaw(("D",), ("d",), (8.0, 18.0)).law(
    "batch_by_tokens",
    equation="B(D) = K D^d",
    source="Li et al. (2025); Bergsma et al. (2025)",
    family="hyperparameters",
    summary="the batch from the tokens alone (Step Law, Power Lines)",
    target="batch_tokens",
    conventions="B and D in tokens",
    needs="runs whose batch was tuned, at horizons over a decade",
    blind_to="the size, and the loss at which the critical batch grows (critical_batch)",
    drawn=Slice("D", 1e9, 1e13),
    published=PUBLISHED,
)
