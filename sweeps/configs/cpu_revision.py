"""Models of Countdown that were trained with wrong tries before the solution, and without.

    isoflop sweep cpu-revision
    isoflop evaluate outputs/cpu-revision revision

Cost: 5.2e12 FLOPs, nine minutes on two cores of a cloud machine that other work had most of; the
evaluation takes six CPU-minutes.
Numbers to expect (docs/laws-measured/revision.md): at width 24 and 3.6e11 FLOPs .124, .316 and .414 of the
first answers are right with tries in all problems, a quarter and none; four revised answers solve .373, .461
and .409 of the problems, four in parallel .387, .665 and .783. After a forced try .116, .108 and none are
right.
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
