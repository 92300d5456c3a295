"""The parts that blocks are made of: the norm, the linear map and the feed-forward layer.

Shape suffixes: B batch, T time, D width, F feed-forward; ... any leading axes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from isoflop.models.config import Dtype, ModelConfig
from isoflop.models.roles import Bias, Convolution, HiddenMatrix, Scale
from isoflop.models.rounding import rounded_in_training


class RMSNorm(nnx.Module):
    """Zhang and Sennrich (2019), equation 4: x / rms(x) * scale over the last axis, computed in float32."""

    def __init__(self, features: int, eps: float) -> None:
        self.scale = Scale(jnp.ones(features))
        self.eps = eps

    def __call__(self, x: jax.Array) -> jax.Array:
        wide = x.astype(jnp.float32)
        inverse_rms = jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + self.eps)
        return (wide * inverse_rms * self.scale[...]).astype(x.dtype)


class Linear(nnx.Module):
    """y = x W; W is (*stack, in, out), normal with standard deviation `gain` / sqrt(in). With `bias`, b is
    added.

    With a `stack` of n maps, x is (..., n, rows, in), and each map meets its own rows. `role`: what W is for.
    `bits`: what W is rounded to in the product; 0 is not.
    """

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        *,
        gain: float,
        dtype: Dtype,
        rngs: nnx.Rngs,
        stack: tuple[int, ...] = (),
        role: type[nnx.Param[Any]] = HiddenMatrix,
        bias: bool = False,
        bits: int = 0,
    ) -> None:
        noise = jax.random.normal(rngs.params(), (*stack, fan_in, fan_out))
        self.kernel = role(noise * (gain * fan_in**-0.5))
        self.bias = Bias(jnp.zeros(fan_out)) if bias else None
        self.dtype = dtype
        self.bits = bits

    def matrix(self) -> jax.Array:
        """W as the product takes it, float32."""
        return rounded_in_training(self.kernel[...], self.bits) if self.bits else self.kernel[...]

    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.matrix()
        y = linear(x.astype(self.dtype), kernel) if kernel.ndim == 2 else x @ kernel.astype(self.dtype)
        return y if self.bias is None else y + self.bias[...].astype(self.dtype)


@jax.custom_vjp
def linear(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x (..., in) times a kernel (in, out), in the dtype of x.

    The kernel's gradient is one product over all rows, summed and returned in the kernel's own float32.
    JAX's transpose would round it to the dtype of x, and make of it a product of two transposed matrices,
    which takes a CPU half as long again.
    """
    return x @ kernel.astype(x.dtype)


def _linear_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, Any]:
    narrow = kernel.astype(x.dtype)
    return x @ narrow, (x, narrow, jnp.zeros((0,), kernel.dtype))


def _linear_backward(kept: Any, dy: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, narrow, like = kept
    rows = tuple(range(x.ndim - 1))
    gradient = jax.lax.dot_general(x, dy, ((rows, rows), ((), ())), preferred_element_type=like.dtype)
    return dy @ narrow.T, gradient


linear.defvjp(_linear_forward, _linear_backward)


class CausalConvolution(nnx.Module):
    """Each feature plus a learned share of itself at each of the `length - 1` tokens before, within a
    document.

    What a first layer would need attention for, to copy the previous token to the next (the first half of an
    induction head, Olsson et al. 2022), is there from the start; cf. the shift convolution of H3 (Fu et al.
    2023, section 3.1).
    """

    def __init__(self, length: int, features: int) -> None:
        self.taps = Convolution(jnp.zeros((length - 1, features))) if length > 1 else None

    def __call__(self, x_BxTxD: jax.Array, documents_BxT: jax.Array | None = None) -> jax.Array:
        if self.taps is None:
            return x_BxTxD
        y_BxTxD = x_BxTxD
        for back, tap_D in enumerate(self.taps[...].astype(x_BxTxD.dtype), start=1):
            earlier_BxTxD = _earlier(x_BxTxD, back) * tap_D
            if documents_BxT is not None:
                same_BxT = documents_BxT == _earlier(documents_BxT, back)
                earlier_BxTxD = jnp.where(same_BxT[..., None], earlier_BxTxD, 0)
            y_BxTxD = y_BxTxD + earlier_BxTxD
        return y_BxTxD


def _earlier(x_BxTx: jax.Array, back: int) -> jax.Array:
    """The value (B, T, ...) `back` tokens before; zero before the window."""
    length = x_BxTx.shape[1]
    padding = [(0, 0), (back, 0), *[(0, 0)] * (x_BxTx.ndim - 2)]
    return jnp.pad(x_BxTx, padding)[:, :length]


class FeedForward(nnx.Module):
    """SwiGLU (Shazeer 2020, equation 6), GELU, or squared ReLU (So et al. 2021, section 4.2)."""

    def __init__(
        self, config: ModelConfig, *, dtype: Dtype, rngs: nnx.Rngs, stack: tuple[int, ...] = ()
    ) -> None:
        self.mlp = config.mlp
        inner = config.ff_width * (2 if config.gated else 1)
        linear_map = partial(Linear, dtype=dtype, rngs=rngs, stack=stack, bits=config.weight_bits)
        self.up = linear_map(config.width, inner, gain=1.0)
        self.down = linear_map(config.ff_width, config.width, gain=0.0)

    def __call__(self, x_xTxD: jax.Array) -> jax.Array:
        h_xTxF = self.up(x_xTxD)
        if self.mlp == "swiglu":
            gate, value = jnp.split(h_xTxF, 2, axis=-1)
            h_xTxF = jax.nn.silu(gate) * value
        elif self.mlp == "gelu":
            h_xTxF = jax.nn.gelu(h_xTxF)
        else:
            h_xTxF = jnp.square(jax.nn.relu(h_xTxF))
        return self.down(h_xTxF)
