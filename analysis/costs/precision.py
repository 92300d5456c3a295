"""Number formats: bytes of a stored number, and the format that a product of them is computed in."""

from __future__ import annotations

from typing import Literal

Stored = Literal["fp32", "bf16", "fp16", "fp8", "int8", "fp4", "int4"]
"""What weights and KV caches are kept in."""
Computed = Literal["fp32", "tf32", "bf16", "fp8", "int8", "fp4", "int4"]
"""What a device has a peak for; fp16 runs at the rate of bf16."""

BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5, "int4": 0.5}
"""Bytes of a number; the scales that quantized groups share (3 to 6% more at 4 bits) are left out."""

WIDER = {
    "int4": ("int4", "int8", "bf16", "tf32", "fp32"),
    "fp4": ("fp4", "fp8", "bf16", "tf32", "fp32"),
    "int8": ("int8", "bf16", "tf32", "fp32"),
    "fp8": ("fp8", "bf16", "tf32", "fp32"),
    "bf16": ("bf16", "tf32", "fp32"),
    "tf32": ("tf32", "fp32"),
    "fp32": ("fp32",),
}
"""Each format and those that hold its numbers: a device without it computes in one of these."""

COMPUTED_IN: dict[str, Computed] = {
    "fp32": "fp32",
    "bf16": "bf16",
    "fp16": "bf16",
    "fp8": "fp8",
    "int8": "int8",
    "fp4": "fp4",
    "int4": "bf16",
}
"""What weights in a format are computed in unless it is said. Four-bit integers are unpacked first, as the
kernels for GPTQ and AWQ do: the activations stay in bf16."""
