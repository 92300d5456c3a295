"""What was measured on."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from typing import Any

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "triton")
LIBRARIES = ("nvidia-cudnn-cu13", "nvidia-cudnn-cu12", "nvidia-cublas", "nvidia-cublas-cu12")
SMI = ("name", "memory.total", "driver_version", "power.limit", "clocks.max.sm")


def jax_device() -> dict[str, Any]:
    """What JAX sees."""
    import jax

    device = jax.devices()[0]
    statistics = device.memory_stats() or {}
    return {
        "device": device.device_kind,
        "platform": device.platform,
        "devices": jax.device_count(),
        "compute capability": str(getattr(device, "compute_capability", "")),
        "memory JAX may use, bytes": statistics.get("bytes_limit"),
    }


def host() -> dict[str, Any]:
    """The driver's words, the machine and the versions of packages; empty where there are none."""
    found: dict[str, Any] = dict(zip(SMI, _smi(), strict=False))
    found["host"] = f"{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}"
    for package in (*PACKAGES, *LIBRARIES):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _smi() -> list[str]:
    try:
        asked = ["nvidia-smi", f"--query-gpu={','.join(SMI)}", "--format=csv,noheader"]
        said = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout
        return [field.strip() for field in said.splitlines()[0].split(",")]
    except (OSError, subprocess.SubprocessError, IndexError):
        return []
