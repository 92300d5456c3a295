"""Directions of descent by optax: what the compiled step multiplies by its rate."""

from __future__ import annotations

import math
from typing import Any

import jax
import optax

from isoflop.models.roles import HiddenMatrix, map_roles
from isoflop.train.spec import AdamW, Muon

ADAM_RMS = 0.2
"""Root mean square of an entry of Adam's updates in practice (Liu et al. 2025, section 2.2)."""


def directions(optimizer: AdamW | Muon) -> optax.GradientTransformation:
    """Gradients to directions, without rate and decay, which reach the compiled step as numbers."""
    adam = optax.scale_by_adam(b1=optimizer.beta1, b2=optimizer.beta2, eps=optimizer.eps)
    if isinstance(optimizer, AdamW):
        return adam
    momentum = optax.contrib.scale_by_muon(beta=optimizer.momentum, weight_dimension_numbers=_last_two_axes)
    muon = optax.chain(momentum, optax.stateless(lambda updates, _: jax.tree.map(_with_adams_rms, updates)))
    return optax.partition({"muon": muon, "adam": adam}, _labels)


def _labels(params: Any) -> Any:
    return map_roles(lambda role: "muon" if issubclass(role, HiddenMatrix) else "adam", params)


def _last_two_axes(params: Any) -> Any:
    """Experts' matrices are stacked along axes before the last two."""
    return jax.tree.map(lambda _: optax.contrib.MuonDimensionNumbers(-2, -1), params)


def _with_adams_rms(orthogonal: jax.Array) -> jax.Array:
    # An orthogonal (m, n) matrix has entries of root mean square 1 / sqrt(max(m, n)).
    return orthogonal * (ADAM_RMS * math.sqrt(max(orthogonal.shape[-2:])))
