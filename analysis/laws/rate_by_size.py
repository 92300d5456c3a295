"""lr(N) = K N^n: the peak learning rate from the size alone.

Porian et al. (2024), Resolving Discrepancies in Compute-Optimal Scaling of Language Models: rates
and batches tuned for small models, each near 20 tokens a parameter.
"""

from __future__ import annotations

from isoflop.analysis.laws.law import Published, Slice
from isoflop.analysis.laws.power_law import PowerLaw

PORIAN_SIZE = 108e6
"""Parameters, blocks and head, of the size that the rounded rule is written at."""
BETA2 = "at batches this small AdamW's beta2 is .99, below 220M parameters, and .95 above"

PUBLISHED = (
    Published(
        "porian",
        (0.0047 * PORIAN_SIZE ** (1 / 3), -1 / 3),
        source="Porian et al. (2024), rounded: .0047 (N/108e6)^(-1/3); allenai/OLMo-core, "
        "model ladder, has the same",
        seen="code",
        count="non_embedding",
        note=BETA2,
    ),
    Published(
        "porian-fit",
        (3.7, -0.36),
        source="Porian et al. (2024), the fit before rounding: 3.7 N^-.36",
        seen="quoted",
        count="non_embedding",
        note=BETA2,
    ),
)

LAW = PowerLaw(("N",), ("n",), (-12.0, -2.0)).law(
    "rate_by_size",
    equation="lr(N) = K N^n",
    source="Porian et al. (2024)",
    family="hyperparameters",
    summary="the peak learning rate from the size alone",
    target="lr",
    conventions="N of blocks and head; AdamW, the rate at its peak, no muP",
    needs="runs whose rate was tuned, at three sizes or more (--best-of-each picks each one's best)",
    blind_to="the token horizon, which moves the best rate as much as the size does, and the batch",
    drawn=Slice("N", 1e7, 1e11),
    published=PUBLISHED,
)
