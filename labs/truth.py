"""The law that a student's runs obey, drawn from the instructor's secret and the student's name.

Nothing else enters, so that a replaced key changes nothing; and without the secret the name tells nothing,
since a keyed hash (HMAC-SHA256) stands between them.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any
"""A float, or a float64 array; arguments of one call broadcast."""

REFERENCE_FLOPS = 1e19
"""Where the drawn law's optimum and loss are set."""
REFERENCE_PARAMS, REFERENCE_BATCH, REFERENCE_TOKENS = 1e8, 2.0**17, 1e10
BEST_FF_RATIO = 8 / 3
SGD_RATE = 100.0
"""Over AdamW's best peak rate."""
SGD_PENALTY, BFLOAT16_PENALTY = 0.25, 0.01
"""Nats; the latter where the parameters themselves are bfloat16, and small updates are lost."""
UNKNOWN_TOKEN = 10.0
"""Nats for a token that the vocabulary lacks: about ln of a usual vocabulary."""


@dataclass(frozen=True)
class Recipe:
    """What of a run moves its loss. `n_params` without the embedding; `tokens` and `batch_tokens` in tokens;
    `rate`: the peak; `rate_left`: the last rate over the peak; `aspect`: width over depth; `ff_ratio`:
    feed-forward over model width; `unknown`: share of the text's tokens outside the vocabulary."""

    n_params: Array
    tokens: Array
    batch_tokens: Array
    rate: Array
    rate_left: Array = 0.0
    aspect: Array = 64.0
    ff_ratio: Array = BEST_FF_RATIO
    unknown: Array = 0.0
    sgd: Array = False
    bfloat16: Array = False


@dataclass(frozen=True)
class Truth:
    """L = E + A/N^alpha + B/D^beta nats per token, and what a recipe that is not the best one adds."""

    E: float
    A: float
    alpha: float
    B: float
    beta: float
    best_rate: float
    """Of AdamW at the reference size and batch."""
    rate_by_size: float
    """How fast the best rate falls with N, as an exponent."""
    rate_curvature: float
    """Nats for a rate off by a factor of e."""
    diverges_at: float
    """Times the best rate."""
    critical_batch: float
    """Tokens, at the reference D: where half of a batch is wasted."""
    best_aspect: float
    aspect_curvature: float
    annealing: float
    """Nats that a last rate of the peak itself costs, over one of zero."""
    seed_noise: float
    """Standard deviation between runs that differ in the seed alone, in nats."""

    def loss(self, recipe: Recipe) -> Array:
        """The loss to expect, in nats per token."""
        return sum(self.terms(recipe).values())

    def terms(self, recipe: Recipe) -> dict[str, Array]:
        """What the loss is made of, in nats per token: the law of size and data, and what each other choice
        adds to it, which is never negative."""
        used = recipe.tokens / (1 + recipe.batch_tokens / self.critical_batch_at(recipe.tokens))
        aspect, ff = np.log(recipe.aspect / self.best_aspect), np.log(recipe.ff_ratio / BEST_FF_RATIO)
        return {
            "size, data and batch": self.E
            + self.A * recipe.n_params**-self.alpha
            + self.B * used**-self.beta,
            "learning rate": self.rate_curvature * np.log(recipe.rate / self.best_rate_at(recipe)) ** 2,
            "schedule": self.annealing * recipe.rate_left,
            "shape": self.aspect_curvature * (aspect**2 + ff**2),
            "optimizer": SGD_PENALTY * np.asarray(recipe.sgd),
            "precision": BFLOAT16_PENALTY * np.asarray(recipe.bfloat16),
            "vocabulary": UNKNOWN_TOKEN * recipe.unknown,
        }

    def best_rate_at(self, recipe: Recipe) -> Array:
        """The best peak learning rate: lower for larger models, higher for larger batches."""
        by_size = (recipe.n_params / REFERENCE_PARAMS) ** -self.rate_by_size
        by_batch = (recipe.batch_tokens / REFERENCE_BATCH) ** 0.25
        return self.best_rate * by_size * by_batch * np.where(recipe.sgd, SGD_RATE, 1.0)

    def critical_batch_at(self, tokens: Array) -> Array:
        """Tokens in a batch of which half are wasted; it grows with the run."""
        return self.critical_batch * (tokens / REFERENCE_TOKENS) ** 0.4


def truth_of(secret: bytes, student: str) -> Truth:
    """The student's own law. The ranges surround published fits of dense models on web text."""
    draw = random_of(secret, student, "truth")
    alpha, beta = draw.uniform(0.30, 0.40), draw.uniform(0.27, 0.38)
    tokens_per_param = np.exp(draw.uniform(np.log(8), np.log(50)))
    reducible = draw.uniform(1.1, 1.5)
    # At the optimum of C = 6ND, alpha A/N^alpha = beta B/D^beta (Hoffmann et al. 2022, equation 4).
    N = np.sqrt(REFERENCE_FLOPS / (6 * tokens_per_param))
    A = reducible * beta / (alpha + beta) * N**alpha
    B = reducible * alpha / (alpha + beta) * (tokens_per_param * N) ** beta
    return Truth(
        E=draw.uniform(1.5, 2.0),
        A=float(A),
        alpha=alpha,
        B=float(B),
        beta=beta,
        best_rate=float(np.exp(draw.uniform(np.log(1.5e-3), np.log(6e-3)))),
        rate_by_size=draw.uniform(0.15, 0.3),
        rate_curvature=draw.uniform(0.03, 0.06),
        diverges_at=draw.uniform(12, 24),
        critical_batch=float(np.exp(draw.uniform(np.log(5e5), np.log(2e6)))),
        best_aspect=draw.uniform(48, 96),
        aspect_curvature=draw.uniform(0.005, 0.015),
        annealing=draw.uniform(0.04, 0.08),
        seed_noise=draw.uniform(0.002, 0.004),
    )


def random_of(secret: bytes, student: str, *purpose: str) -> np.random.Generator:
    """Random numbers that the secret, the student's name and the purpose determine."""
    # Lengths stand before the parts, so that no two lists of parts read alike.
    text = b"".join(len(part.encode()).to_bytes(8, "big") + part.encode() for part in (student, *purpose))
    return np.random.default_rng(int.from_bytes(hmac.digest(secret, text, hashlib.sha256), "big"))
