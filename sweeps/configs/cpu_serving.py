"""Models of the demo's family that are trained for a moment and kept, to be served against a clock.

    isoflop sweep cpu-serving --no-report
    isoflop evaluate outputs/cpu-serving serving --batch 1 16 --prompt 32 160 480
    isoflop serving outputs/cpu-serving/evals/serving.csv

Cost: 1.6e11 FLOPs, two minutes on two CPU cores that other work had most of; the evaluation 9.8e12 FLOPs,
four and a half minutes on two cores that were not idle.
Numbers to expect (docs/laws-measured/serving.md): nearly no time below the roofline of memory, and none below
that of a cache; a step at batch 1 at .3 to .8 of the roofline, at batch 16 at .1 to .2; fewer bits no faster.
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
