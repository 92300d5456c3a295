"""Random bits as a pure function of key and counter: Threefry-2x32 with 20 rounds (Salmon et al., 2011).

Written out, because stored results hang on these bits: `jax.random`'s own depend on a configuration flag.
Works on NumPy and JAX arrays of uint32 alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)


def threefry(key0: Any, key1: Any, count0: Any, count1: Any) -> tuple[Any, Any]:
    """Two words of 32 bits for each key and counter; the four uint32 arguments broadcast."""
    keys = (key0, key1, key0 ^ key1 ^ PARITY)
    x0, x1 = count0 + key0, count1 + key1
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = (x1 << np.uint32(rotation)) | (x1 >> np.uint32(32 - rotation))
            x1 = x0 ^ x1
        x0 = x0 + keys[(group + 1) % 3]
        x1 = x1 + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x0, x1


def below(bits: Any, bound: Any) -> Any:
    """floor(bits * bound / 2^32): from 32 uniform bits an integer in [0, bound); `bound` is at most 2^16."""
    high, low = bits >> np.uint32(16), bits & np.uint32(0xFFFF)
    return (high * bound + (low * bound >> np.uint32(16))) >> np.uint32(16)
