"""The ladder for two CPU cores: five IsoFLOP curves under two seeds, 1e11 to 1e13 FLOPs, on prose that no run
reads twice, and a sixth at 3e13 that is forecast before it is trained.

    isoflop sweep cpu-ladder
    isoflop register outputs/cpu-ladder --flops 3e13 --law skaling
    isoflop sweep cpu-ladder
    isoflop score outputs/cpu-ladder
"""

from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.grids.rates import Rates

SWEEP = SweepConfig(
    name="cpu-ladder",
    title="IsoFLOP curves of byte-level transformers over two and a half decades, on two CPU cores",
    budgets=(1e11, 3e11, 1e12, 3e12, 1e13),
    # Neighbours are a factor of 1.7 to 2 in parameters apart, but for the two narrowest.
    ladder=(8, 16, 24, 32, 48, 64, 88, 120, 160),
    sizes=4,
    # Steeper than the minima, so that 1e11 has no size too large for its tokens (docs/family.md).
    centre_width=32,
    centre_budget=4.5e11,
    centre_exponent=0.6,
    batch_size=2,
    batch_exponent=0.5,
    rates=Rates(
        coefficient=0.004,
        token_exponent=0.1,
        tried=(0.5, 1.0, 2.0),
        widths=(16, 48),
        horizons=(5e5, 4e6),
    ),
    data="debian-docs",
    # Half and twice the rate at the largest minimum would cost as much as a quarter of the grid.
    checks=False,
)
