"""Models of the demo's family that are trained for a moment and kept, to be served against a clock.

isoflop sweep cpu-serving --no-report
isoflop evaluate outputs/cpu-serving serving
isoflop serving outputs/cpu-serving/evals/serving.csv
"""

from isoflop.sweeps.configs.cpu_demo import SWEEP as DEMO
from isoflop.sweeps.grids.rates import Rates

SWEEP = DEMO.with_options(
    name="cpu-serving",
    title="Three widths of the demo's family, kept to be timed",
    budgets=(6e10,),
    ladder=(48, 128, 384),
    sizes=3,
    centre_width=128,
    centre_budget=6e10,
    rates=Rates(coefficient=0.002),
    model={"context_length": 512},
    batch_size=1,
    batch_exponent=0.0,
    seeds=1,
    eval_windows=8,
    checks=False,
    keep="all",
)
