"""Another architecture: IsoFLOP curves of the demo's transformers and of gated linear recurrences.

    isoflop sweep cpu-recurrence
    isoflop compare outputs/cpu-recurrence --by architecture

Cost: 2.2e12 FLOPs, some 3 minutes on two free CPU cores. Not run as a whole yet: no numbers to expect.
"""

from isoflop.sweeps.configs.cpu_demo import SWEEP as DEMO
from isoflop.sweeps.grids.config import Axis
from isoflop.sweeps.grids.rates import Rates

SWEEP = DEMO.with_options(
    name="cpu-recurrence",
    title="IsoFLOP curves of transformers and of gated recurrences on Wikipedia introductions",
    budgets=(4e10, 6e10, 9e10),
    ladder=(8, 16, 24, 32),
    sizes=4,
    axes=(Axis("architecture", ("decoder", "gated_recurrence")),),
    # Each architecture's coefficient is tuned for itself; the exponents are the demo's.
    rates=Rates(
        coefficient=0.004, token_exponent=0.1, tried=(0.5, 1.0, 2.0), widths=(16,), horizons=(2.5e5,), seeds=1
    ),
    checks=False,
    keep="all",
)
