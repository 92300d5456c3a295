"""Experts of finer grain at equal FLOPs: four experts a layer, each split into two, four and eight.

    isoflop sweep cpu-granularity

Cost: 2.4e12 FLOPs; on a GPU not measured yet.
Numbers to expect: those of docs/laws-measured/experts.md.
"""

from isoflop.sweeps.configs.cpu_experts import SWEEP as EXPERTS
from isoflop.sweeps.grids.config import Axis

SWEEP = EXPERTS.with_options(
    name="cpu-granularity",
    title="Byte-level mixtures of four experts, each split into two, four and eight",
    experts=4,
    # Whole experts, granularity 1, are a value of cpu-experts.
    axes=(Axis("granularity", (2, 4, 8)),),
)
