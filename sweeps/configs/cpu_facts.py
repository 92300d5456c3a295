"""Facts to be learnt by heart: small models of three sizes on facts with Zipf frequencies, every model kept.

    isoflop sweep cpu-facts
    isoflop evaluate outputs/cpu-facts recall
    isoflop sweep cpu-facts --data synthetic:facts,facts=1024,exponent=0 --out outputs/cpu-facts-alike
    isoflop evaluate outputs/cpu-facts-alike recall

The second pair is the control, in which all facts come alike.

Cost: 2.7e11 FLOPs each, 36 and 39 seconds on two CPU cores; on a GPU not measured yet.
Numbers to expect (docs/laws-measured/zipf.md): at 3.2e10 FLOPs .084, .076 and .082 of the answers are wrong
at widths 8, 16 and 32, and facts up to ranks 66 to 99 are known; in the control .82, .58 and .90 are wrong.
Michaud et al. (2023): where frequencies fall as rank^-1.5, what is lost on answers falls as N^-.5 where size
is short and as D^-.333 where data are (a little faster, as the list of facts ends).
"""

from isoflop.models.config import ModelOptions
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.grids.rates import Rates

SWEEP = SweepConfig(
    name="cpu-facts",
    title="Facts with Zipf frequencies, by model size and tokens",
    data="synthetic:facts,exponent=1.5",
    budgets=(4e9, 8e9, 1.6e10, 3.2e10),
    ladder=(8, 16, 32),
    sizes=3,
    centre_width=16,
    centre_budget=1e10,
    centre_exponent=0.0,
    # Between 0.01 and 0.03, which give the same loss at width 24; at width 8 the larger is the better.
    rates=Rates(coefficient=0.02),
    batch_size=8,
    trunk_span=16.0,
    # Sixteen facts in a window of 48 ids, the first of which is no target.
    model=ModelOptions(context_length=47),
    checks=False,
    keep="all",
)
