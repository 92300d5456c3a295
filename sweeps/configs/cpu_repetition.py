"""Repeated text: IsoFLOP curves of the demo's family on parts of its text, taken up to 115 times.

    isoflop sweep cpu-repetition
    isoflop fit outputs/cpu-repetition --law muennighoff --where "unique_tokens!=32768"

Cost: 3.68e13 FLOPs, 37 minutes on two CPU cores that other work had half of; on a GPU not measured yet.
Numbers to expect (docs/laws-measured/repetition.md): R_D* 20 [14, 25] passes without the smallest part; on
that one, 32 KB, the loss rises with compute, which the law can't follow.
"""

from isoflop.sweeps.configs.cpu_demo import SWEEP as DEMO
from isoflop.sweeps.grids.config import Axis
from isoflop.sweeps.grids.rates import Rates

SWEEP = DEMO.with_options(
    name="cpu-repetition",
    title="IsoFLOP curves on Wikipedia introductions, and on parts of them that are repeated",
    budgets=(3e11, 4.2e11, 6e11),
    axes=(Axis("unique_tokens", (0, 524_288, 131_072, 32_768)),),
    max_epochs=128.0,
    # Near what the demo's tuning finds, where the loss is flat. Tuned at each value, rates would differ, and
    # with them what repetition costs.
    rates=Rates(coefficient=0.0035, token_exponent=0.05),
    checks=False,
)
