"""How cells are computed, never what: no part of a cell's name, and no change of its result but rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from isoflop.base.errors import UserError
from isoflop.base.fields import Count, check_fields
from isoflop.models.config import Remat

Platform = Literal["auto", "cpu", "gpu", "tpu"]


@dataclass(frozen=True)
class Execution:
    """The options of a machine, not of a sweep."""

    platform: Platform = "auto"
    """Where to train: auto takes an accelerator where JAX sees one."""
    devices: Count = 1
    """Devices that one cell is spread over: its batch is divided, its parameters and moments sharded."""
    members: Count | None = None
    """Cells of one shape trained together as one program, at most; by default 1 on a CPU and as many as fit
    on an accelerator."""
    remat: Remat = "none"
    """Activations recomputed in the backward pass, for models that don't fit otherwise: none, all but the
    products with weights (dots), or all within a block."""
    nodes: Count = 1
    """Machines that one cell is spread over, each with its share of the devices (launchers of clusters)."""
    profile: bool = False
    """Write a profiler trace of each width's first task into the sweep's folder `profiles`."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.devices % self.nodes:
            raise UserError(
                f"devices {self.devices} can't be divided among {self.nodes} nodes: make it a multiple"
            )
        if self.members is not None and self.members > 1 and self.devices > 1:
            raise UserError(
                f"members {self.members} and devices {self.devices}: pack cells on one device, or spread one "
                "cell over several"
            )

    def refuse_batch(self, batch_size: int) -> None:
        """Raises `UserError` for a batch that the devices don't divide."""
        if batch_size % self.devices:
            raise UserError(
                f"batch_size {batch_size} can't be divided among {self.devices} devices: make it a multiple"
            )
