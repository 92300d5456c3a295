"""Experts of finer grain at equal FLOPs: four experts a layer, whole, halved and quartered.

    isoflop sweep cpu-granularity

Cost: 2.4e12 FLOPs, nine minutes on two CPU cores that other work had most of; on a GPU not measured yet.
Numbers to expect (docs/laws-measured/experts.md): quarters .038 nats below whole experts on average.
"""

from isoflop.sweeps.configs.cpu_experts import SWEEP as EXPERTS
from isoflop.sweeps.grids.config import Axis

SWEEP = EXPERTS.with_options(
    name="cpu-granularity",
    title="Byte-level mixtures of four experts, whole, halved and quartered",
    axes=(Axis("experts", (4,)), Axis("granularity", (1, 2, 4))),
)
