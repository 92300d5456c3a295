"""Training with rounded weights: the demo's family at small budgets, its matrices in six to two bits.

    isoflop sweep cpu-training-bits
    isoflop fit outputs/cpu-training-bits --law kumar --fix gamma_a=1,gamma_kv=1

Numbers to expect: those of docs/laws-measured/training-bits.md.
"""

from isoflop.sweeps.configs.cpu_demo import SWEEP as DEMO
from isoflop.sweeps.grids.config import Axis
from isoflop.sweeps.grids.rates import Rates

SWEEP = DEMO.with_options(
    name="cpu-training-bits",
    title="Byte-level transformers trained with weights of few bits",
    budgets=(3e10, 9e10),
    axes=(Axis("weight_bits", (0, 4, 3, 2)),),
    sizes=2,
    rates=Rates(coefficient=0.004, token_exponent=0.1),
    checks=False,
    keep="none",
)
