"""Training with rounded weights: small members of the demo's family in four, three and two bits.

    isoflop sweep cpu-training-bits
    isoflop fit outputs/cpu-training-bits --law kumar --fix gamma_a=1,gamma_kv=1

Cost: 3.3e12 FLOPs, 17 minutes on two CPU cores that other work had most of; on a GPU not measured yet.
Numbers to expect (docs/laws-measured/training-bits.md): four bits cost .023 nats on average, three .085 and
two .277, more after more tokens; gamma_w 2.83, of a law that misses the runs.
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
