"""A device: peak FLOP/s by number format, memory and its bandwidth, power; each figure with its source."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from isoflop.analysis.costs import data_files
from isoflop.analysis.costs.precision import WIDER, Computed
from isoflop.base.errors import UserError
from isoflop.base.fields import Count, Positive, check_fields
from isoflop.base.json_values import Serializable

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class FigureSource:
    """Where figures come from. `seen`: `read` in the maker's own text, `quoted` by others, or from `memory`
    and not confirmed."""

    figures: tuple[str, ...]
    source: str
    seen: Literal["read", "quoted", "memory"]


@dataclass(frozen=True)
class Device(Serializable):
    """An accelerator as its file describes it: `analysis/costs/hardware/NAME.toml`, or one of your own."""

    name: str
    title: str
    memory: str
    """With its unit: `80 GiB`, `81559 MiB`; what the driver reports, where that is known."""
    gigabytes_per_second: Positive
    """Peak bandwidth of that memory, 1e9 bytes a second."""
    dense_teraflops: dict[Computed, Positive]
    """Peak of matrix products by format, 1e12 FLOPs a second. Data sheets often print twice as much, for
    matrices of which half is zero."""
    watts: Positive | None = None
    """What it may draw; None where its maker does not say."""
    link_gigabytes_per_second: Positive | None = None
    """What it sends to its neighbours, one way, 1e9 bytes a second; None: not known, and left out."""
    node_size: Count = 8
    """How many share a fast link: the most that one model is sharded over unless asked for otherwise."""
    cuda_cores: Annotated[int, Field(ge=1)] | None = None
    tensor_cores: Annotated[int, Field(ge=1)] | None = None
    """Of the product, not of the full die."""
    sources: tuple[FigureSource, ...] = field(default=())

    def __post_init__(self) -> None:
        """Raises `UserError` for a figure out of its range."""
        check_fields(self)
        if not self.dense_teraflops:
            raise UserError("dense_teraflops is empty: give at least bf16")
        _ = self.memory_bytes

    @property
    def memory_bytes(self) -> float:
        """Bytes of memory."""
        return data_files.in_bytes(self.memory)

    @property
    def bandwidth(self) -> float:
        """Bytes a second."""
        return self.gigabytes_per_second * 1e9

    def computes(self, wanted: Computed) -> Computed:
        """The format that numbers in `wanted` are multiplied in: the fastest of those that hold them."""
        # Not always its own: the integer units of a B300 are slower than its units for bf16.
        able: list[Computed] = [name for name in WIDER[wanted] if name in self.dense_teraflops]
        if not able:
            has = ", ".join(self.dense_teraflops)
            raise UserError(f"{self.title} has no known peak for {wanted}: choose a format it has: {has}")
        return max(able, key=lambda name: self.dense_teraflops[name])

    def peak(self, wanted: Computed) -> float:
        """FLOPs a second, dense, at which numbers in `wanted` are multiplied."""
        return self.dense_teraflops[self.computes(wanted)] * 1e12


def known_devices() -> tuple[str, ...]:
    """Names of the devices in this package, sorted."""
    return data_files.known(FOLDER)


def find_device(name: str) -> Device:
    """The device of that name, or of the .toml file that `name` is the path of.

    Raises `UserError` for a name nobody knows, and for a file that describes none.
    """
    return data_files.read(Device, FOLDER, name, "device")
