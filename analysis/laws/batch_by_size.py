"""B(N) = K N^n: the batch from the size alone, at about 20 tokens a parameter.

Porian et al. (2024), Resolving Discrepancies in Compute-Optimal Scaling of Language Models. They
count sequences of 2,048 tokens; here B is in tokens.
"""

from __future__ import annotations

from isoflop.analysis.laws.law import Published, Slice
from isoflop.analysis.laws.power_law import PowerLaw
from isoflop.analysis.laws.rate_by_size import BETA2, PORIAN_SIZE

CONTEXT = 2048
"""Tokens of their sequences."""

PUBLISHED = (
    Published(
        "porian",
        (160 * CONTEXT * PORIAN_SIZE ** (-2 / 3), 2 / 3),
        source="Porian et al. (2024), rounded: 160 (N/108e6)^(2/3) sequences; allenai/OLMo-core, "
        "model ladder, has the same",
        seen="code",
        count="non_embedding",
        note=BETA2,
    ),
    Published(
        "porian-fit",
        (0.00037 * CONTEXT, 0.703),
        source="Porian et al. (2024), the fit before rounding: .00037 N^.703 sequences",
        seen="quoted",
        count="non_embedding",
        note=BETA2,
    ),
)

LAW = PowerLaw(("N",), ("n",), (8.0, 18.0)).law(
    "batch_by_size",
    equation="B(N) = K N^n",
    source="Porian et al. (2024)",
    family="hyperparameters",
    summary="the batch from the size, near 20 tokens a parameter",
    target="batch_tokens",
    conventions="B in tokens (the source: sequences of 2,048); N of blocks and head",
    needs="runs whose batch was tuned, at three sizes or more",
    blind_to="the tokens: what moves the best batch is D, and N only through D = 20 N",
    drawn=Slice("N", 1e7, 1e11),
    published=PUBLISHED,
)
