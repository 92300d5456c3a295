"""Models of chained modular arithmetic, kept at nine lengths of training: where does exact match emerge?

    isoflop sweep cpu-arithmetic
    isoflop evaluate outputs/cpu-arithmetic exact-match

Cost: 1.85e12 FLOPs, four minutes on two CPU cores that other work had most of; the evaluation 25 CPU-seconds.
Numbers to expect (docs/laws-measured/emergence.md): at width 24 the loss per token falls from 1.38 at 1e10
FLOPs to .025 at 8e10, and of chains of eight .007 are right at 2.8e10, .47 at 5.6e10 and .90 at 8e10, about
the accuracy per token to the power 16. A policy that draws values uniformly loses 1.568 and has 23^-8 right
(exact).
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
