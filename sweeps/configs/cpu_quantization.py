"""Models to be quantized: the demo's family at three small budgets, every model kept.

    isoflop sweep cpu-quantization
    isoflop evaluate outputs/cpu-quantization quantization

Cost: 3.6e12 FLOPs, twelve minutes on two CPU cores that other work had most of; the evaluation 20 seconds of
one core.
Numbers to expect: those of docs/laws-measured/precision.md.
"""

from isoflop.sweeps.configs.cpu_demo import SWEEP as DEMO
from isoflop.sweeps.grids.rates import Rates

SWEEP = DEMO.with_options(
    name="cpu-quantization",
    title="Byte-level transformers of 0.35 to 119 tokens per parameter, kept to be quantized",
    budgets=(3e10, 9e10, 2.7e11),
    rates=Rates(coefficient=0.004, token_exponent=0.1),
    checks=False,
    keep="all",
)
