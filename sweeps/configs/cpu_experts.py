"""Mixtures of experts beside the dense model of the same FLOPs a token: the demo's family, small budgets.

    isoflop sweep cpu-experts

Numbers to expect: those of docs/laws-measured/experts.md.
"""

from isoflop.sweeps.configs.cpu_demo import SWEEP as DEMO
from isoflop.sweeps.grids.config import Axis
from isoflop.sweeps.grids.rates import Rates

SWEEP = DEMO.with_options(
    name="cpu-experts",
    title="IsoFLOP curves of byte-level mixtures of one to eight experts, one visited by a token",
    budgets=(5e10, 1.5e11),
    axes=(Axis("experts", (1, 2, 4, 8)),),
    sizes=2,
    rates=Rates(coefficient=0.004, token_exponent=0.1),
    checks=False,
    keep="none",
)
