"""Training with rounded weights: small members of the demo's family, their matrices in four, three and two bits.

    isoflop sweep cpu-training-bits
    isoflop fit outputs/cpu-training-bits --law kumar --fix gamma_a=1,gamma_kv=1

Cost: 3.84e12 FLOPs; on a GPU not measured yet.
Numbers to expect: those of docs/laws-measured/training-bits.md.
"""

from isoflop.sweeps.configs.cpu_demo import SWEEP as DEMO
from isoflop.sweeps.grids.config import Axis
from isoflop.sweeps.grids.rates import Rates

SWEEP = DEMO.with_options(
    name="cpu-training-bits",
    title="Byte-level transformers trained with weights of two to four bits",
    budgets=(4e10, 1.2e11),
    axes=(Axis("weight_bits", (0, 4, 3, 2)),),
    # Small ones, of which the larger budget trains all long enough for attention to form (docs/family.md).
    ladder=(8, 16, 24),
    centre_width=16,
    sizes=3,
    rates=Rates(coefficient=0.004, token_exponent=0.1),
    checks=False,
    keep="none",
)
