"""The ladder for one GPU: five IsoFLOP curves on the prose of Debian's documentation, 1e13 to 1e15 FLOPs.

    isoflop sweep h200-ladder
    isoflop plan h200-ladder --no-calibration    the grid and its price

Cost: FLOPs and disk as the plan says; time on a GPU not measured yet (docs/accelerators.md).
Numbers to expect: not measured yet.

The centre is the demo's optimum carried on with an exponent of .5. No cell reads the text more than once.
"""

from isoflop.models.config import ModelOptions
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.grids.rates import Rates

SWEEP = SweepConfig(
    name="h200-ladder",
    title="IsoFLOP curves of byte-level transformers on Debian's documentation",
    budgets=(1e13, 3e13, 1e14, 3e14, 1e15),
    # Heads of a multiple of 8 features (flash attention), but for the 12 of width 48, which halves a gap.
    ladder=(32, 48, 64, 96, 128, 160, 192, 224, 256, 320, 384),
    centre_width=64,
    centre_budget=1e13,
    centre_exponent=0.5,
    # With completep the best rate hardly moves with width and depth, so the rule starts flat.
    rates=Rates(
        coefficient=0.006,
        token_exponent=0.15,
        base_tokens=4e6,
        tried=(0.25, 0.5, 1.0, 2.0, 4.0),
        widths=(64, 160),
        horizons=(1e6, 1.6e7),
    ),
    data="debian-docs",
    # A hundred words. At 1,024 attention would be half of the FLOPs at the minima.
    model=ModelOptions(context_length=512),
    batch_size=8,
    batch_exponent=0.38,
    eval_windows=2048,
    tune_windows=1024,
    dtype="bfloat16",
)
