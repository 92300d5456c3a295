"""Kaplan's recipe and Chinchilla's on the same grid: each of two switches alone, and both together.

    isoflop sweep two-recipes
    isoflop fit measured:two-recipes --approach 2 --where "final_fraction=0,trunk_span=4"

`final_fraction`: 0 decays every run to its own end, 1 never decays. `trunk_span`: 4 gives a run a warm-up of
a tenth of about its own length; a million puts all runs of a width on one trunk, and so gives them one
warm-up of a hundred thousand tokens, most or all of a short run.
Batch and rate are the same for all runs, so that these two are all that differs.

Cost: 1.10e13 FLOPs, 23 minutes on two CPU cores that other work had most of.
Numbers to expect: those of docs/laws-measured/two-answers.md.
"""

from isoflop.sweeps.configs.cpu_demo import SWEEP as DEMO
from isoflop.sweeps.grids.config import Axis
from isoflop.sweeps.grids.rates import Rates

SWEEP = DEMO.with_options(
    name="two-recipes",
    title="IsoFLOP curves by Chinchilla's recipe and by Kaplan's",
    budgets=(6e10, 1.2e11, 2.4e11, 4.8e11),
    batch_exponent=0.0,
    rates=Rates(coefficient=0.004),
    axes=(Axis("final_fraction", (0.0, 1.0)), Axis("trunk_span", (4.0, 1e6))),
    checks=False,
)
