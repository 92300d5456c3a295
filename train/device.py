"""The device that trains: its name, its peak, and JAX's settings for it."""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import dataclass
from typing import Any

from isoflop.base.cache import cache_dir
from isoflop.base.errors import UserError
from isoflop.train.execution import Execution

PEAK_BF16_FLOPS = {
    "H200": 989.4e12,
    "H100": 989.4e12,
    "A100": 312e12,
    "L40S": 362e12,
    "RTX 4090": 165.2e12,
    "A10": 125e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5": 459e12,
    "TPU v6 lite": 918e12,
}
"""Dense bfloat16 FLOP/s with float32 accumulation by part of the device's name; makers' data sheets."""


def set_up() -> None:
    """Turns on the persistent compilation cache; call before the first compilation."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(cache_dir("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def device_name() -> str:
    """What the first device calls itself."""
    import jax

    return jax.devices()[0].device_kind


def peak_flops(device: str) -> float | None:
    """The peak that `mfu` is measured against, FLOP/s; None for a device without a named one (any CPU)."""
    return next((peak for part, peak in PEAK_BF16_FLOPS.items() if part in device), None)


def peak_memory_bytes() -> int:
    """The most memory that was in use at once: of the first device, or on a CPU of this process."""
    import jax

    statistics = jax.devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        return statistics["peak_bytes_in_use"]
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@dataclass(frozen=True)
class Device:
    """What a worker trains on. `memory`: bytes that a model may take on each of `count` devices."""

    platform: str
    kind: str
    count: int
    memory: int


def find_device(execution: Execution) -> Device:
    """This process' devices. Raises `UserError` where another platform or more of them were asked for."""
    import jax

    found, devices = jax.default_backend(), jax.devices()
    if execution.platform not in ("auto", found):
        raise UserError(
            f"platform {execution.platform} was asked for and JAX sees only {found}: install JAX for it "
            "(extras cuda and tpu), check its driver, or drop --platform"
        )
    if execution.devices > len(devices):
        raise UserError(
            f"devices {execution.devices} were asked for and JAX sees {len(devices)}: lower --devices"
        )
    return Device(found, devices[0].device_kind, len(devices), _memory_bytes(devices[0]))


def _memory_bytes(device: Any) -> int:
    """An accelerator's own memory; of a machine's, a core's share."""
    statistics = device.memory_stats() or {}
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return statistics.get("bytes_limit") or machine // (os.cpu_count() or 1)
