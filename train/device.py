"""The device that trains: its name, its peak, and JAX's settings for it."""

from __future__ import annotations

from train.cache import cache_dir

PEAK_BF16_FLOPS = {
    "H200": 989.4e12,
    "H100": 989.4e12,
    "A100": 312e12,
    "L40S": 362e12,
    "RTX 4090": 165.2e12,
    "A10": 125e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5p": 459e12,
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
