"""Models of chained modular arithmetic, kept at nine lengths of training: where does exact match emerge?

    isoflop sweep cpu-arithmetic
    isoflop evaluate outputs/cpu-arithmetic exact-match

Cost: 1.9e12 FLOPs.
"""

from isoflop.models.config import ModelOptions
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.grids.rates import Rates

SWEEP = SweepConfig(
    name="cpu-arithmetic",
    title="Chains of modular arithmetic, by model size and tokens",
    data="synthetic:arithmetic,steps=8,largest=3",
    # Half an octave apart, since what is asked for comes within a factor of four.
    budgets=(1e10, 1.4e10, 2e10, 2.8e10, 4e10, 5.6e10, 8e10, 1.1e11, 1.6e11),
    ladder=(16, 24, 32, 48),
    sizes=4,
    centre_width=24,
    centre_budget=4e10,
    centre_exponent=0.0,
    rates=Rates(coefficient=0.012, base_tokens=2e5),
    # All lengths of a width are one trunk: the models are checkpoints of one training, each decayed.
    trunk_span=4096.0,
    warmup_share=0.05,
    batch_size=4,
    # A window is one problem.
    model=ModelOptions(context_length=35),
    checks=False,
    keep="all",
)
