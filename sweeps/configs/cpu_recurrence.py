"""Another architecture: IsoFLOP curves of the demo's transformers and of gated linear recurrences.

    isoflop sweep cpu-recurrence
    isoflop compare measured:recurrence --by architecture

Cost: 2.33e12 FLOPs, 6 minutes on two CPU cores that other work wanted too; on a GPU not measured yet.
Numbers to expect (docs/laws-measured/recurrence.md): the decoder's least loss at 9e10 FLOPs is 2.07 nats per
byte, the recurrence's 2.04 at 4e10 and 1.94 at 9e10: no loss in common, and so no multiplier of this alone.
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
