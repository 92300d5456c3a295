"""How long a context? The demo's transformers with windows of 16 to 256 bytes, at equal FLOPs.

    isoflop sweep cpu-context
    isoflop evaluate outputs/cpu-context positions --tokens 97792

Cost: 2.27e12 FLOPs, 5 minutes on two CPU cores that other work wanted too; on a GPU not measured yet.
Numbers to expect (docs/laws-measured/context.md): at 6e10 FLOPs and width 16, on the same text, 2.09, 2.07,
2.07, 2.15 and 2.34 nats per byte with windows of 16, 32, 64, 128 and 256.
"""

from isoflop.sweeps.configs.cpu_demo import SWEEP as DEMO
from isoflop.sweeps.grids.config import Axis
from isoflop.sweeps.grids.rates import Rates

SWEEP = DEMO.with_options(
    name="cpu-context",
    title="IsoFLOP curves of transformers with windows of 16 to 256 bytes on Wikipedia introductions",
    budgets=(3e10, 6e10),
    ladder=(8, 16, 24),
    sizes=3,
    centre_width=16,
    axes=(Axis("context_length", (16, 32, 64, 128, 256)),),
    # Steps of one size, whatever the windows, at one rate.
    batch_tokens=256,
    batch_exponent=0.0,
    rates=Rates(coefficient=0.004, token_exponent=0.1),
    eval_windows=512,
    checks=False,
    keep="all",
)
