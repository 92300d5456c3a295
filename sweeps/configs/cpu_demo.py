"""The demo: five IsoFLOP curves under two seeds on Wikipedia introductions, on a laptop's CPU.

    isoflop demo              this sweep, its fit and its report
    isoflop sweep cpu-demo    the same, with options to replace

Cost: 3.28e13 FLOPs, 6 to 12 minutes on two CPU cores; on a GPU not measured yet.
Numbers to expect (docs/demo.md): approach 3 gives N_opt ~ C^0.49 [0.43, 0.62]; the least loss at 1.2e12 FLOPs
is about 1.62 nats per byte.

The smallest budget is as small as its largest size allows: below some 350 thousand tokens a run of this
family ends before its attention has formed, and no law bends with that (docs/family.md).
"""

from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.grids.rates import Rates

SWEEP = SweepConfig(
    name="cpu-demo",
    title="IsoFLOP curves of byte-level transformers on Wikipedia introductions",
    budgets=(3e11, 4.2e11, 6e11, 8.5e11, 1.2e12),
    ladder=(16, 24, 32, 40, 48, 56, 64),
    centre_width=24,
    centre_budget=3e11,
    centre_exponent=0.75,
    batch_size=2,
    batch_exponent=0.5,
    rates=Rates(
        coefficient=0.004,
        token_exponent=0.1,
        tried=(0.5, 1.0, 2.0),
        widths=(16, 40),
        horizons=(4e5, 1.2e6),
    ),
)
