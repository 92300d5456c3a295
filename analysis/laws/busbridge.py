"""A distilled student's loss: L_T + L_T^-c0 (1 + (L_T/(d1 L))^(1/f1))^(-c1 f1) (A/N^alpha + B/D^beta)^gamma.

Busbridge et al. (2025), Distillation Scaling Laws (arXiv 2502.08606), equation 8. L_T is the teacher's loss,
L what the same student comes to on the same tokens without a teacher; N and D are the student's.
"""

from __future__ import annotations

import numpy as np

from isoflop.analysis.laws import skaling
from isoflop.analysis.laws.law import (
    CENTRED_TERMS,
    EXPONENT,
    FREE,
    Array,
    Covariate,
    Law,
    Published,
    Slice,
    array_namespace,
)

SUPERVISED = np.array([1.220, 3355.0, 0.408, 18186.0, 0.431, 0.452])
"""E, A, alpha, B, beta, k of their law of training without a teacher, the form of `skaling`: from memory. It
stands for L where a prediction names none."""
WIDTH = (float(np.log(1e-3)), float(np.log(10.0)))
"""Bounds of log f1."""


def predict(params: Array, N: Array, D: Array, L_T: Array, L: Array) -> Array:
    xp = array_namespace(params)
    c0, c1, d1, f1 = (params[i] for i in range(4))
    # log(1 + r^(1/f1)) as a soft maximum: the power itself overflows at the smaller f1.
    ratio = (xp.log(L_T) - xp.log(d1) - xp.log(L)) / f1
    teacher = -c0 * xp.log(L_T) - c1 * f1 * xp.logaddexp(0.0 * ratio, ratio)
    zero = 0.0 * params[:1]
    return L_T + xp.exp(teacher) * skaling.predict(xp.concatenate([zero, params[4:]]), N, D)


def encode(params: Array, n0: Array, d0: Array) -> Array:
    """theta = (c0, log (c1 f1), log d1, log f1) and that of `skaling` without E."""
    xp = array_namespace(params)
    c0, c1, d1, f1 = (params[i] for i in range(4))
    rest = skaling.encode(xp.concatenate([0.0 * params[:1], params[4:]]), n0, d0)[1:]
    return xp.concatenate([xp.stack([c0, xp.log(c1 * f1), xp.log(d1), xp.log(f1)]), rest])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    f1 = xp.exp(theta[3])
    rest = skaling.decode(xp.concatenate([0.0 * theta[:1], theta[4:]]), n0, d0)[1:]
    return xp.concatenate([xp.stack([theta[0], xp.exp(theta[1]) / f1, xp.exp(theta[2]), f1]), rest])


def supervised_loss(N: Array, D: Array) -> Array:
    """Loss of N parameters after D tokens without a teacher, by the paper's own law."""
    return skaling.predict(SUPERVISED, N, D)


PUBLISHED = (
    Published(
        "busbridge",
        (2.549, 522.6, 1.315, 0.090, 2243.0, 0.321, 24181.0, 0.637, 0.764),
        source="Busbridge et al. (2025), the table of its fitted coefficients",
        seen="memory",
        data="C4",
        note="from memory, to be confirmed: the form is what stands here",
    ),
)

LAW = Law(
    name="busbridge",
    parameters=("c0", "c1", "d1", "f1", "A", "alpha", "B", "beta", "gamma"),
    equation="L_S = L_T + L_T^-c0 (1 + (L_T/(d1 L))^(1/f1))^(-c1 f1) (A/N^alpha + B/D^beta)^gamma",
    source="Busbridge et al. (2025), equation 8",
    family="precision",
    summary="a student's loss by its size, tokens and teacher's loss: too good a teacher teaches less",
    conventions="N and D of the student; losses in nats per token; the teacher's compute is not counted",
    needs="students of several N and D, each under several teachers and without one: columns teacher_loss "
    "and supervised_loss (the same student trained without a teacher)",
    blind_to="students that beat their teacher, as the paper's own do under weak ones: the form is never "
    "below teacher_loss; the FLOPs of training and running the teacher; temperature",
    drawn=Slice("L_T", 1.8, 3.2, (("N", 5e8), ("D", 2e10))),
    published=PUBLISHED,
    competes=False,
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((0.0, 4.0), (0.0, 5.0), (-0.5, 1.0), (-4.0, 0.0), *CENTRED_TERMS, (-1.5, 0.5)),
    bounds=(FREE, (-5.0, 10.0), (-3.0, 3.0), WIDTH, FREE, EXPONENT, FREE, EXPONENT, skaling.OUTER_EXPONENT),
    covariates=(
        Covariate(
            symbol="L_T",
            column="teacher_loss",
            meaning="the teacher's loss on the same text",
            default=lambda N, D, C: supervised_loss(N, D),
            choices=(1.0, 0.95, 0.9, 0.8),
        ),
        Covariate(
            symbol="L",
            column="supervised_loss",
            meaning="loss of the same student on as many tokens without a teacher",
            default=lambda N, D, C: supervised_loss(N, D),
        ),
    ),
)
