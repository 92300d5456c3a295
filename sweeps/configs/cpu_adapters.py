"""Models to be tuned: three sizes trained on as many bytes of English, kept for adapters of low rank.

isoflop sweep cpu-adapters
isoflop evaluate outputs/cpu-adapters adapters
"""

from isoflop.sweeps.configs.cpu_demo import SWEEP as DEMO
from isoflop.sweeps.grids.rates import Rates

TOKENS = 512_000
TRAIN_FLOPS = {16: 121_920, 24: 227_808, 40: 529_440}
"""FLOPs per token by width, as the ledger counts them: each budget is TOKENS tokens of one width."""

SWEEP = DEMO.with_options(
    name="cpu-adapters",
    title="Byte-level transformers of three sizes and one length, kept to be tuned on another language",
    budgets=tuple(float(TOKENS * flops) for flops in TRAIN_FLOPS.values()),
    ladder=tuple(TRAIN_FLOPS),
    sizes=1,
    centre_width=24,
    centre_budget=float(TOKENS * TRAIN_FLOPS[24]),
    # As fast as parameters grow with these budgets, so that each gets the width that it is of.
    centre_exponent=1.0,
    context_length=64,
    batch_size=2,
    batch_exponent=0.0,
    rates=Rates(coefficient=0.004, token_exponent=0.1),
    checks=False,
    keep="all",
)
