"""lr(C) = K C^c: the peak learning rate from the compute budget.

DeepSeek-AI (2024), DeepSeek LLM: Scaling Open-Source Language Models with Longtermism, section 3.1,
equation 1. Their C is M D, with M the non-embedding FLOPs a token, 72 n_layer d^2 + 12 n_layer d l at context
l: 6 N D of the blocks, and attention.
"""

from __future__ import annotations

from isoflop.analysis.laws.law import Published, Slice
from isoflop.analysis.laws.power_law import PowerLaw

PUBLISHED = (
    Published(
        "deepseek",
        (0.3118, -0.1250),
        source="DeepSeek-AI (2024), equation 1",
        seen="quoted",
        count="body",
        note="for runs on the best split of each budget; a schedule of steps, not a cosine",
    ),
)

LAW = PowerLaw(("C",), ("c",), (-12.0, -2.0)).law(
    "rate_by_compute",
    equation="lr(C) = K C^c",
    source="DeepSeek-AI (2024), equation 1",
    family="hyperparameters",
    summary="the peak learning rate from the compute budget",
    target="lr",
    conventions="C = M D, M the FLOPs a token of the blocks with attention; the rate at its peak",
    needs="runs on the compute-optimal split, whose rate was tuned, over two decades of C",
    blind_to="how the budget is split: a model trained far beyond its share gets the same rate",
    drawn=Slice("C", 1e18, 1e25),
    published=PUBLISHED,
)
