"""B(C) = K C^c: the batch from the compute budget.

DeepSeek-AI (2024), DeepSeek LLM: Scaling Open-Source Language Models with Longtermism, section 3.1,
equation 1. Their C is M D: see `rate_by_compute`.
"""

from __future__ import annotations

from isoflop.analysis.laws.law import Published, Slice
from isoflop.analysis.laws.power_law import PowerLaw

PUBLISHED = (
    Published(
        "deepseek",
        (0.2920, 0.3271),
        source="DeepSeek-AI (2024), equation 1",
        seen="quoted",
        count="body",
        note="for runs on the best split of each budget",
    ),
)

LAW = PowerLaw(("C",), ("c",), (8.0, 18.0)).law(
    "batch_by_compute",
    equation="B(C) = K C^c",
    source="DeepSeek-AI (2024), equation 1",
    family="hyperparameters",
    summary="the batch from the compute budget",
    target="batch_tokens",
    conventions="B in tokens; C = M D, M the FLOPs a token of the blocks with attention",
    needs="runs on the compute-optimal split, whose batch was tuned, over two decades of C",
    blind_to="how the budget is split between size and tokens",
    drawn=Slice("C", 1e18, 1e25),
    published=PUBLISHED,
)
