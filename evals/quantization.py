"""Loss after rounding the trained matrices to few bits: what post-training quantization costs.

How a matrix is rounded: `isoflop.models.rounding`. Kumar et al. (2024, Scaling Laws for Precision, section 3)
find that the loss rises with the tokens that a model was trained on and falls with its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import jax
from pydantic import Field

from isoflop.base.errors import UserError
from isoflop.base.fields import Count, DistinctSome, check_fields
from isoflop.evals.degradation import change_matrices, degradation
from isoflop.evals.measurement import Row
from isoflop.evals.trained_model import TrainedModel
from isoflop.models.config import BITS
from isoflop.models.rounding import levels_of, quantize

FIT_OPTIONS = ("--metric", "loss_increase", "--law", "kumar_post_training")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Post-training quantization of the matrices, by rounding to nearest in each output channel."""

    bits: DistinctSome[Annotated[int, Field(ge=BITS[0], le=BITS[1])]] = (8, 6, 4, 3)
    """Bits of a weight, 2 to 16 each."""
    windows: Count = 256
    """Held-out windows on which the loss is compared, before and after."""
    embeddings: bool = False
    """Round the embedding too."""

    def __post_init__(self) -> None:
        check_fields(self)


def refuse(model: TrainedModel, options: Options) -> None:
    """Raises `UserError` for a model that rounds its weights itself: they would be rounded twice."""
    if bits := model.recipe.model.weight_bits:
        raise UserError(
            f"{model.cell.cell_id} was trained with weights of {bits} bits: quantization is of models that "
            "were not (weight_bits 0)"
        )


def measure(model: TrainedModel, options: Options) -> list[Row]:
    """One row a number of bits."""
    windows = model.windows(options.windows)
    before_ExT = model.losses(windows)
    rows: list[Row] = []
    for bits in options.bits:
        rounded = _quantized(model.params, levels_of(bits), embeddings=options.embeddings)
        rows.append({"bits_post": bits} | degradation(before_ExT, model.losses(windows, rounded)))
    return rows


@partial(jax.jit, static_argnames="embeddings")
def _quantized(params: Any, levels: jax.Array, *, embeddings: bool) -> Any:
    # The levels are data: one program for all bits of a shape.
    return change_matrices(params, partial(quantize, levels=levels), embeddings=embeddings)
