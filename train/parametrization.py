"""How the learning rate and the weight decay of each parameter follow the width and the depth.

The rate of a recipe is that of a model of BASE_WIDTH features and BASE_DEPTH layers, where all
parametrizations are the same model. Away from it:

standard    every parameter has the recipe's rate.
mup         Yang et al. (2021), table 8, for Adam: a matrix that reads `width` features (the blocks', the
            head's) has its rate times BASE_WIDTH / width, and its decay times the inverse, so that the two's
            product stays; embedding and norms keep the rate. Under Muon the factor is the square root of
            that, for an orthogonal update of given root mean square has a norm that grows with the square
            root of the width, not with the width (Yang, Simon and Bernstein 2023, equation 1).
completep   mup, and each residual branch times BASE_DEPTH / depth (Dey et al. 2025, table 1, alpha = 1).

Initialization is mup's under all three: standard deviation 1 / sqrt(fan-in), 1 in the embedding, zero in the
head and the output projections. The attention's scale stays 1 / sqrt(head features): queries and keys are
normalized, and above a width of 64 heads don't grow.
"""

from __future__ import annotations

from typing import Any

from isoflop.train.spec import Parametrization, Recipe

BASE_WIDTH = 64
BASE_DEPTH = 2


def branch_scale(parametrization: Parametrization, depth: int) -> float:
    """What each residual branch of a model of `depth` layers is multiplied by."""
    return BASE_DEPTH / depth if parametrization == "completep" else 1.0


def is_matrix(path: tuple[Any, ...], parameter: Any) -> bool:
    """Whether it reads features: the blocks' and the head's matrices, not scales, not the embedding."""
    return parameter.ndim >= 2 and "embedding" not in str(path)


def is_hidden(path: tuple[Any, ...], parameter: Any) -> bool:
    """Whether it makes features of features: not the head's, nor a router's, whose outputs are choices."""
    return is_matrix(path, parameter) and not any(name in str(path) for name in ("'head'", "'router'"))


def rate_multiplier(recipe: Recipe, path: tuple[Any, ...], parameter: Any) -> float:
    """The parameter's rate over the recipe's."""
    if recipe.parametrization == "standard" or not is_matrix(path, parameter):
        return 1.0
    ratio = BASE_WIDTH / recipe.model.width
    by_muon = recipe.optimizer.name == "muon" and is_hidden(path, parameter)
    return ratio**0.5 if by_muon else ratio


def decay_multiplier(recipe: Recipe, path: tuple[Any, ...], parameter: Any) -> float:
    """The parameter's weight decay over the recipe's: none for scales and for the embedding's look-ups."""
    return 1.0 / rate_multiplier(recipe, path, parameter) if is_matrix(path, parameter) else 0.0
