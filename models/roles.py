"""What a parameter is for: its type. Initialization, rate, weight decay, Muon and sharding follow from it.

=================  ====================  ======================  =====  =========  =======
role               initial deviation     rate under mup          decay  optimizer  sharded
=================  ====================  ======================  =====  =========  =======
`Embedding`        1                     the recipe's            no     Adam       yes
`TiedEmbedding`    1 / sqrt(width)       the recipe's            no     Adam       yes
`HiddenMatrix`     gain / sqrt(fan-in)   base width / width      yes    Muon       yes
`Readout`          0                     base width / width      yes    Adam       yes
`Router`           gain / sqrt(fan-in)   base width / width      yes    Adam       yes
`Scale`            (all ones)            the recipe's            no     Adam       no
`Convolution`      (all zero)            the recipe's            no     Adam       no
`Bias`             (all zero)            the recipe's            no     Adam       no
=================  ====================  ======================  =====  =========  =======

Muon acts where the recipe's optimizer is Muon; else Adam moves all. Every parameter of an architecture has
one of these types, or one derived from them. Its module initializes it; the other columns are stated in
`isoflop.train.parametrization`, `isoflop.train.optimizers` and `isoflop.train.mesh`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from isoflop.base.errors import UserError


class Embedding(nnx.Param[Any]):
    """One row (V, D) a token, looked up: an entry's gradient is that of its token alone, whatever the width,
    and there is no product that decay would keep small."""


class TiedEmbedding(Embedding):
    """An embedding that the head reads as well. It follows the embedding's rules, but starts as small as a
    matrix of fan-in `width`: else the first logits would grow with the square root of the width."""


class HiddenMatrix(nnx.Param[Any]):
    """Features to features (..., in, out), both growing with the width: mup's hidden weights, and the only
    matrices whose updates Muon makes orthogonal. Leading axes are stacks, as of experts."""


class Readout(nnx.Param[Any]):
    """The head (D, V): features to a fixed number of logits. It starts at zero, so that a fresh model gives
    all tokens the same probability."""


class Router(nnx.Param[Any]):
    """Features to one logit an expert (D, E): a readout in all but its start, which mustn't be zero, for
    equal logits choose the same experts for every token."""


class Scale(nnx.Param[Any]):
    """Factors (D,) of a norm's features, which start at one; too small to divide among devices."""


class Convolution(Scale):
    """Taps (K, D) of a depthwise convolution, one number a feature and an earlier token. They start at zero,
    as no convolution at all, and follow the rules of scales otherwise."""


class Bias(Scale):
    """What a linear map adds to each feature (D,). It starts at zero and follows the rules of scales."""


ROLES = (Embedding, HiddenMatrix, Readout, Router, Scale)


def is_variable(node: Any) -> bool:
    """Whether a node of a tree is a parameter, type and all, and no array yet."""
    return isinstance(node, nnx.Variable)


def map_roles(rule: Callable[[type[nnx.Param[Any]]], Any], params: Any) -> Any:
    """The tree of parameters with `rule(role)` in the place of each array.

    Raises `UserError`, naming the parameter, for one of no known role.
    """

    def one(path: tuple[Any, ...], parameter: Any) -> Any:
        role = type(parameter)
        if not issubclass(role, ROLES):
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            known = ", ".join(each.__name__ for each in (*ROLES, TiedEmbedding, Convolution, Bias))
            raise UserError(
                f"parameter {name} is of type {role.__name__}, which doesn't say what it is for: make it one "
                f"of {known}, of isoflop.models.roles"
            )
        return jax.tree.map(lambda _: rule(role), parameter)

    return jax.tree_util.tree_map_with_path(one, params, is_leaf=is_variable)
