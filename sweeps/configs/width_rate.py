"""Learning rate by width under the standard parametrization and under mup: half a million bytes of Wikipedia
introductions a run, seven rates a factor of 2 apart, four widths of one depth, three seeds.

    isoflop sweep width-rate --no-report

What counts are the trials, tuning.csv of the sweep's folder; the one budget is there because a sweep has one,
and no law is fitted to it. At width 64 both parametrizations are the same model, and its trials come twice.
Cost: 1.4e14 FLOPs, 47 minutes on two CPU cores that other work had part of. Numbers to expect:
docs/results/width-rate/README.md.
"""

from isoflop.sweeps.grids.config import Axis, SweepConfig
from isoflop.sweeps.grids.rates import Rates

SWEEP = SweepConfig(
    name="width-rate",
    title="Learning rate by width, standard against mup",
    budgets=(8e10,),
    ladder=(16,),
    sizes=1,
    centre_width=16,
    centre_budget=8e10,
    seeds=1,
    checks=False,
    batch_size=2,
    rates=Rates(
        coefficient=0.004,
        base_tokens=5e5,
        tried=(0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
        widths=(16, 32, 64, 128),
        horizons=(5e5,),
        seeds=3,
    ),
    axes=(Axis("parametrization", ("standard", "mup")),),
)
