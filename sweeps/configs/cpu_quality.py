"""The same text with some of it spoilt: noise, shuffled words and duplicates, at known shares.

    isoflop sweep cpu-quality
    isoflop fit outputs/cpu-quality --law hestness --where data=wiki-intro

Cost: 1.86e12 FLOPs, 4.8 minutes on two CPU cores that other work had part of; on a GPU not measured yet.
Numbers to expect (docs/laws-measured/quality.md): a token is worth .36 of a clean one where a quarter of the
documents is noise, .85 where half has its words shuffled, and .97 where half are copies.
"""

from isoflop.sweeps.configs.cpu_demo import SWEEP as DEMO
from isoflop.sweeps.grids.config import Axis
from isoflop.sweeps.grids.rates import Rates

SPOILT = tuple(
    f"damaged:{kind}:wiki-intro"
    for kind in ("noise=0.25", "noise=0.5", "shuffle=0.25", "shuffle=0.5", "duplicates=0.5")
)

SWEEP = DEMO.with_options(
    name="cpu-quality",
    title="Wikipedia introductions, and the same with some documents spoilt",
    budgets=(2.5e10, 5e10, 1e11),
    ladder=(16,),
    sizes=1,
    centre_width=16,
    axes=(Axis("data", ("wiki-intro", *SPOILT)),),
    rates=Rates(coefficient=0.0035, token_exponent=0.05),
    checks=False,
)
