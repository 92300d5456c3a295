"""Models that solve Countdown, kept to be sampled: three sizes at three budgets.

    isoflop sweep cpu-countdown
    isoflop evaluate outputs/cpu-countdown attempts
    isoflop evaluate outputs/cpu-countdown search --samples 1 4 16
    isoflop evaluate outputs/cpu-countdown difficulty

Cost: 2.2e12 FLOPs, 3.4 minutes on two cores of a cloud machine; attempts 36 CPU-seconds, search 13 a model,
difficulty 181 (docs/laws-measured/allocation.md).
Numbers to expect (docs/laws-measured/test-time.md): at width 24 and 2.7e11 FLOPs .54 of 128 problems at the
first attempt and all within 64; at 9e10 .30 and .96; at 3e10 less than .05 at first. A policy that draws
legal steps at random, not knowing the target, solves .136 at its first attempt and .988 within 64 (exact): a
model that solves more has learned more than arithmetic.
"""

from isoflop.models.config import ModelOptions
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.grids.rates import Rates

SWEEP = SweepConfig(
    name="cpu-countdown",
    title="Transformers that solve Countdown, kept to be sampled",
    budgets=(3e10, 9e10, 2.7e11),
    ladder=(16, 24, 40),
    sizes=3,
    centre_width=24,
    centre_budget=9e10,
    data="synthetic:countdown,numbers=3,largest=12",
    # A window is one problem: a model is trained at the places at which it answers.
    model=ModelOptions(context_length=13),
    batch_size=32,
    rates=Rates(coefficient=0.012, token_exponent=0.1),
    checks=False,
    keep="all",
    eval_windows=2048,
)
