"""Architectures by name: a file in this package that defines `Model` and `ledger` is one."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, get_args

from isoflop.base import plugins
from isoflop.base.errors import UserError
from isoflop.models.config import Dtype, ModelConfig, Remat
from isoflop.models.ledger import Ledger

if TYPE_CHECKING:
    from flax import nnx
    from jax.typing import ArrayLike


def architectures() -> list[str]:
    """Names of the architectures that this package holds."""
    return plugins.names("isoflop.models", "Model")


def build(
    config: ModelConfig, *, seed: ArrayLike, dtype: Dtype = "float32", remat: Remat = "none"
) -> nnx.Module:
    """A freshly initialized model: float32 parameters, products computed in `dtype`.

    `remat`: what is kept for the backward pass, for the same results. `none`: all it reads; `block`: each
    block's input, and the rest is computed anew; `dots`: the outputs of the linear maps too.

    An architecture's `Model(config, *, dtype, remat, rngs)` has three methods. `features(tokens_BxT)`: final
    normed features (B, T, D) in `dtype`, and a dict of float32 scalars by name for the trainer to watch or to
    add to its loss (empty in a dense model). `unembedding()`: the matrix (D, V) in `dtype` that makes logits
    of them. `__call__(tokens_BxT)`: their product in float32 (B, T, V). Two more, if it is to decode, are
    those of `isoflop.models.decoding.Decoder`.

    Raises `UserError` for an unknown architecture, `dtype` or `remat`.
    """
    import jax
    from flax import nnx

    _check("dtype", dtype, get_args(Dtype))
    _check("remat", remat, get_args(Remat))
    rngs = nnx.Rngs(params=jax.random.key(seed))
    return _architecture(config).Model(config, dtype=dtype, remat=remat, rngs=rngs)


@lru_cache(maxsize=1 << 14)
def ledger(config: ModelConfig) -> Ledger:
    """The exact parameters and FLOPs of `config`."""
    return _architecture(config).ledger(config)


def _architecture(config: ModelConfig) -> Any:
    return plugins.load("isoflop.models", "Model", config.architecture, "architecture")


def _check(what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise UserError(f"unknown {what} {name!r}: choose one of {', '.join(known)}")
