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

from functools import partial
from typing import Any, NamedTuple

from flax import nnx

from isoflop.models.roles import HiddenMatrix, Readout, Router, map_roles
from isoflop.train.spec import BASE_WIDTH, Recipe

READS_FEATURES = (HiddenMatrix, Readout, Router)
"""Matrices that sum over `width` features, so that their right rate falls with it; these alone decay."""


class Multipliers(NamedTuple):
    """Trees of numbers in the parameters' places: their rate and weight decay over the recipe's."""

    rate: Any
    decay: Any


def multipliers(recipe: Recipe, params: Any) -> Multipliers:
    """The multipliers of all parameters, by their roles; `UserError` for one of no known role."""
    return Multipliers(
        map_roles(partial(rate_multiplier, recipe), params),
        map_roles(partial(decay_multiplier, recipe), params),
    )


def rate_multiplier(recipe: Recipe, role: type[nnx.Param[Any]]) -> float:
    """The rate of a role's parameters over the recipe's."""
    if recipe.parametrization == "standard" or not issubclass(role, READS_FEATURES):
        return 1.0
    ratio = BASE_WIDTH / recipe.model.width
    by_muon = recipe.optimizer.name == "muon" and issubclass(role, HiddenMatrix)
    return ratio**0.5 if by_muon else ratio


def decay_multiplier(recipe: Recipe, role: type[nnx.Param[Any]]) -> float:
    """The weight decay of a role's parameters over the recipe's: none for scales and embeddings."""
    return 1.0 / rate_multiplier(recipe, role) if issubclass(role, READS_FEATURES) else 0.0
