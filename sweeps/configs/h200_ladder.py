"""The ladder for one GPU: five IsoFLOP curves on the prose of Debian's documentation, 1e13 to 1e15 FLOPs.

    isoflop sweep h200-ladder
    isoflop plan h200-ladder --no-calibration    the grid and its price

Cost: FLOPs and disk as the plan says; time on a GPU not measured yet (docs/accelerators.md).
Numbers to expect: not measured yet.

The centre is the demo's optimum (some 34 thousand parameters without embeddings at 1e12 FLOPs) carried on
with an exponent of .45, and one size up, so that six sizes stand two below the expected minimum and three
above: text is what runs out first, and below the minimum is where it does.
"""

from isoflop.models.config import ModelOptions
from isoflop.sweeps.grids.config import Rates, SweepConfig

SWEEP = SweepConfig(
    name="h200-ladder",
    title="IsoFLOP curves of byte-level transformers on Debian's documentation",
    budgets=(1e13, 3e13, 1e14, 3e14, 1e15),
    # Multiples of 16, steps of 1.4 to 2.1 in parameters, heads of a multiple of 8 features (flash attention).
    ladder=(32, 48, 64, 80, 96, 128, 160, 192, 224, 288, 320, 384),
    sizes=6,
    centre_width=80,
    centre_budget=1e13,
    centre_exponent=0.45,
    # With completep the best rate hardly moves with width and depth, so the rule starts flat.
    rates=Rates(
        coefficient=0.006,
        exponent=0.0,
        tried=(0.25, 0.5, 1.0, 2.0, 4.0),
        anchors=((48, 1e13), (160, 3e14)),
    ),
    data="debian-docs",
    # A hundred words. At 1,024 attention would be half of the FLOPs at the minima.
    model=ModelOptions(context_length=512),
    batch_size=8,
    # Two small cells at 1e15 read the text more than once; of their size they can't learn it by heart.
    max_epochs=2.5,
    eval_windows=2048,
    tune_windows=1024,
    dtype="bfloat16",
)
