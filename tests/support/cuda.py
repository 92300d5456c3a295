"""An NVIDIA GPU to trace and lower programs for, on a machine that has none: they can't be run there."""

from __future__ import annotations

from typing import Any

import jax
import pytest
from jax._src.cudnn import fused_attention_stablehlo as cudnn


def stand_in(patch: pytest.MonkeyPatch, kernel: str = "cudnn") -> None:
    """Makes `attend` take a kernel, and cuDNN's take this machine for one of compute capability 9.0."""
    patch.setattr("isoflop.models.attention.implementation", lambda *_, **__: kernel)
    patch.setattr(cudnn, "check_cudnn_version", lambda: 91900)
    patch.setattr(cudnn, "check_compute_capability", lambda _: True)
    patch.setattr(cudnn, "is_cuda_compute_capability_equal", lambda _: False)


def lowered(program: Any, *arguments: Any) -> str:
    """The program for CUDA, before XLA compiles it."""
    return program.trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()


def shape(dtype: Any, *sizes: int) -> jax.ShapeDtypeStruct:
    """An array of a program's arguments."""
    return jax.ShapeDtypeStruct(sizes, dtype)
