"""Models of Countdown that were trained with wrong tries before the solution, and without.

    isoflop sweep cpu-revision
    isoflop evaluate outputs/cpu-revision revision

Cost: COST.
"""

from isoflop.models.config import ModelOptions
from isoflop.sweeps.grids.config import Axis, SweepConfig
from isoflop.sweeps.grids.rates import Rates

TRIES = "synthetic:countdown-tries"

SWEEP = SweepConfig(
    name="cpu-revision",
    title="Transformers that solve Countdown after wrong tries, kept to be asked for revisions",
    budgets=(1.2e11, 3.6e11),
    ladder=(16, 24),
    sizes=2,
    centre_width=24,
    centre_budget=1.2e11,
    data=TRIES,
    axes=(Axis("data", (TRIES, f"{TRIES},explored=0.25", f"{TRIES},explored=0")),),
    # A window is one problem with three tries and an answer.
    model=ModelOptions(context_length=41),
    batch_size=32,
    rates=Rates(coefficient=0.012, token_exponent=0.1),
    checks=False,
    keep="all",
    eval_windows=2048,
)
