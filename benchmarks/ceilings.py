"""What a device can do at most, measured: bfloat16 matrix products, and copies of its memory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import seconds

CALLS = 5
CHAINED = 10
"""Products of one after the other in a loop's pass, and passes of a call."""


def matrix_peak(size: int) -> dict[str, float]:
    """FLOP/s of products of square bfloat16 matrices of random numbers: the best of some calls.

    Zeros and ones toggle fewer of a chip's wires, which then runs at a higher clock.
    """
    keys = jax.random.split(jax.random.key(0), 2)
    # Normal over sqrt(size): the spectral radius is about one, so that a chain of products stays finite
    # without an operation between.
    x, y = (jax.random.normal(key, (size, size), jnp.bfloat16) * size**-0.5 for key in keys)

    def chain(y: jax.Array) -> jax.Array:
        def some(_: int, y: jax.Array) -> jax.Array:
            for _ in range(CHAINED):
                y = x @ y
            return y

        return jax.lax.fori_loop(0, CHAINED, some, y)

    run = jax.jit(chain)
    seconds(lambda: run(y))
    fastest = min(seconds(lambda: run(y)) for _ in range(CALLS))
    return {"value": CHAINED**2 * 2 * size**3 / fastest}


def copy_rate(size: float) -> dict[str, float]:
    """Bytes read and written per second by a copy of `size` gigabytes from the device to itself: the best of
    some calls."""
    x = jax.random.bits(jax.random.key(0), (int(size * 1e9) // 4,), np.uint32)
    copy = jax.jit(jnp.copy)

    def some() -> jax.Array:
        return [copy(x) for _ in range(CHAINED)][-1]

    seconds(some)
    return {"value": CHAINED * 2 * x.nbytes / min(seconds(some) for _ in range(CALLS))}
