"""Three models of rising size and training, kept as teachers of `cpu-distillation`.

    isoflop sweep cpu-teachers --no-report
    isoflop sweep cpu-distillation --no-report

Cost: 1.06e12 FLOPs, a minute and a half on two CPU cores that other work had most of.
Numbers to expect: losses of 2.169, 1.933 and 1.702 nats per byte.
"""

from isoflop.sweeps.configs.cpu_demo import SWEEP as DEMO
from isoflop.sweeps.grids.rates import Rates

SWEEP = DEMO.with_options(
    name="cpu-teachers",
    title="Byte-level transformers of three sizes, one at each budget, kept as teachers",
    budgets=(6e10, 2e11, 8e11),
    ladder=(24, 32, 48),
    sizes=1,
    centre_width=24,
    centre_budget=6e10,
    centre_exponent=0.5,
    rates=Rates(coefficient=0.004, token_exponent=0.1),
    # No student has the seed of its teacher: their windows come in other orders.
    seed=10,
    seeds=1,
    checks=False,
    keep="all",
)
