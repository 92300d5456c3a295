"""Two domains at five shares: English and French introductions, and the loss on each of them.

    isoflop sweep cpu-mixture
    isoflop fit outputs/cpu-mixture --law bimix --columns share=share_wiki_intro_fr \
        --metric loss_wiki_intro_fr --where d_model=16

Cost: 2.9e12 FLOPs, 5.7 minutes on two CPU cores that other work had part of; on a GPU not measured yet.
Numbers to expect (docs/laws-measured/mixture.md): the loss on French falls as its share to the power
-.089 [-.096, -.085] at width 16, and rises by .17 nats from a quarter of it to a tenth.
"""

from isoflop.sweeps.configs.cpu_demo import SWEEP as DEMO
from isoflop.sweeps.grids.config import Axis
from isoflop.sweeps.grids.rates import Rates

FRENCH = (0.1, 0.25, 0.5, 0.75, 0.9)

SWEEP = DEMO.with_options(
    name="cpu-mixture",
    title="English and French Wikipedia introductions, mixed",
    budgets=(2.5e10, 5e10, 1e11),
    ladder=(16, 24),
    sizes=2,
    centre_width=16,
    axes=(Axis("data", tuple(f"mix:wiki-intro={1 - r:g}+wiki-intro:fr={r:g}" for r in FRENCH)),),
    # On each domain, on windows that are the same for all mixtures; `loss` is on the mixture's own.
    eval_data=("wiki-intro", "wiki-intro:fr"),
    # Near what the demo's tuning finds. Tuned at each mixture, rates would differ.
    rates=Rates(coefficient=0.0035, token_exponent=0.05),
    checks=False,
)
