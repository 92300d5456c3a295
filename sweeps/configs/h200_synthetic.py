"""The ladder for one GPU on data without end and with a known floor: a Markov chain, 1e14 to 1e16 FLOPs.

    isoflop sweep h200-synthetic
    isoflop plan h200-synthetic --no-calibration    the grid and its price

Cost: FLOPs and disk as the plan says; time on a GPU not measured yet (docs/accelerators.md).
Numbers to expect: not measured yet; the floor is the chain's entropy, which the report draws.

Its 262,144 contexts are facts of some 100 bits each, met as often as Zipf's law says: 1,200 of them are half
of all that is met, 23 thousand nine tenths, 103 thousand 99 hundredths (the rarest of those once in 4 million
ids). So a model of 1e5 to 1e7 parameters has no room for all, and 1e7 to 1e9 ids don't show all often enough.

The centre was carried on from this very chain on a CPU (context 32, 512 ids a step, rates tuned): the least
losses at 3e10, 1e11 and 3e11 FLOPs were 4.46, 4.31 and 4.13 nats, all interior, near 10, 14 and 42 thousand
parameters; the floor there is 2.42.
"""

from isoflop.models.config import ModelOptions
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.grids.rates import Rates

SWEEP = SweepConfig(
    name="h200-synthetic",
    title="IsoFLOP curves on a Markov chain of known entropy",
    budgets=(1e14, 3e14, 1e15, 3e15, 1e16),
    ladder=(64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640),
    centre_width=128,
    centre_budget=1e14,
    centre_exponent=0.55,
    rates=Rates(
        coefficient=0.005,
        token_exponent=0.15,
        base_tokens=3e7,
        tried=(0.25, 0.5, 1.0, 2.0, 4.0),
        widths=(128, 256),
        horizons=(7.5e6, 1.2e8),
    ),
    data="synthetic:markov,order=2,vocab=512,branch=16,exponent=1",
    # Two ids are all that the chain remembers; a longer context would only cost.
    model=ModelOptions(context_length=128),
    batch_size=64,
    batch_exponent=0.38,
    eval_windows=8192,
    tune_windows=4096,
    dtype="bfloat16",
)
