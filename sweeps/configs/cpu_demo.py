"""The demo: six IsoFLOP curves on Wikipedia introductions, on a laptop's CPU.

    isoflop demo              this sweep, its fit and its report
    isoflop sweep cpu-demo    the same, with options to replace

Cost: 1.40e13 FLOPs, 2 to 8 minutes on two CPU cores; on a GPU not measured yet.
Numbers to expect (docs/demo.md): approach 3 gives N_opt ~ C^0.52 [0.39, 0.68]; the least loss at 1e12 FLOPs
is about 1.76 nats per byte.
"""

from isoflop.sweeps.grids.config import Rates, SweepConfig

SWEEP = SweepConfig(
    name="cpu-demo",
    title="IsoFLOP curves of byte-level transformers on Wikipedia introductions",
    budgets=(1e11, 1.6e11, 2.5e11, 4e11, 6.3e11, 1e12),
    ladder=(12, 16, 20, 28, 36, 48, 64, 88),
    centre_width=20,
    centre_budget=1e11,
    centre_exponent=0.65,
    rates=Rates(
        coefficient=0.0025, exponent=0.0, tried=(0.35, 0.7, 1.4, 2.8), anchors=((16, 1e11), (48, 4e11))
    ),
)
