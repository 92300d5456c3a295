"""Mixtures of experts beside the dense model of the same FLOPs: the demo's family at two widths.

    isoflop sweep cpu-experts

Cost: 3.2e12 FLOPs, six minutes on two CPU cores that other work had most of; on a GPU not measured yet.
Numbers to expect (docs/laws-measured/experts.md): eight experts .047 nats above the dense model on average.
"""

from isoflop.sweeps.configs.cpu_demo import SWEEP as DEMO
from isoflop.sweeps.grids.config import Axis
from isoflop.sweeps.grids.rates import Rates

SWEEP = DEMO.with_options(
    name="cpu-experts",
    title="Byte-level mixtures of one to eight experts, of which a token visits one",
    budgets=(5e10, 1.5e11),
    axes=(Axis("experts", (1, 2, 4, 8)),),
    sizes=2,
    rates=Rates(coefficient=0.004, token_exponent=0.1),
    checks=False,
    keep="none",
)
