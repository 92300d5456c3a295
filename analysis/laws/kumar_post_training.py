"""Loss that quantizing trained weights adds: C_T D^gD / N^gN exp(-P/gamma_post).

Kumar et al. (2024), Scaling Laws for Precision (arXiv 2411.04330), the law of post-training quantization: the
longer a model was trained, the more it loses.
"""

from __future__ import annotations

import numpy as np

from isoflop.analysis.laws.law import FREE, Array, Covariate, Law, Published, Slice, array_namespace

GAMMA = (float(np.log(1e-2)), float(np.log(1e2)))
"""Bounds of log gamma_post, bits."""
CENTRE = 4.0
"""Bits at which theta has the penalty."""


def predict(params: Array, N: Array, D: Array, P: Array) -> Array:
    xp = array_namespace(params)
    C_T, g_D, g_N, gamma = (params[i] for i in range(4))
    return C_T * xp.exp(g_D * xp.log(D) - g_N * xp.log(N) - P / gamma)


def encode(params: Array, n0: Array, d0: Array) -> Array:
    """theta = (log of the penalty at n0, d0 and 4 bits, g_D, g_N, log gamma)."""
    xp = array_namespace(params)
    C_T, g_D, g_N, gamma = (params[i] for i in range(4))
    n, d = xp.log(xp.asarray(n0)), xp.log(xp.asarray(d0))
    return xp.stack([xp.log(C_T) + g_D * d - g_N * n - CENTRE / gamma, g_D, g_N, xp.log(gamma)])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    level, g_D, g_N = (theta[i] for i in range(3))
    gamma = xp.exp(theta[3])
    n, d = xp.log(xp.asarray(n0)), xp.log(xp.asarray(d0))
    return xp.stack([xp.exp(level - g_D * d + g_N * n + CENTRE / gamma), g_D, g_N, gamma])


PUBLISHED = (
    Published(
        "kumar",
        (0.0598, 0.5068, 0.3439, 0.5907),
        source="Kumar et al. (2024), appendix, fitted constants",
        seen="memory",
        data="Dolma",
        note="the exponents are quoted by others; C_T and gamma_post are from memory",
    ),
)

LAW = Law(
    name="kumar_post_training",
    parameters=("C_T", "g_D", "g_N", "gamma_post"),
    equation="L_quantized - L = C_T D^g_D / N^g_N exp(-P_post/gamma_post)",
    source="Kumar et al. (2024), the law of post-training quantization",
    family="precision",
    summary="what quantizing the trained weights costs: more, the longer the model was trained",
    target="loss_increase",
    conventions="nats per token that the quantized model loses; N parameters without embeddings; D tokens",
    needs="one model quantized to several widths, and several N and D: columns bits_post and loss_increase "
    "(--metric loss_increase), each above zero",
    blind_to="how the weights are quantized; the paper's factor for models trained in few bits",
    drawn=Slice("P_post", 3, 8, (("N", 1e8), ("D", 1e10))),
    published=PUBLISHED,
    has_optimum=False,
    competes=False,
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((-8.0, 2.0), (-0.5, 1.5), (-0.5, 1.5), (-2.0, 2.0)),
    bounds=(FREE, FREE, FREE, GAMMA),
    linear=(0,),
    covariates=(
        Covariate(
            symbol="P_post",
            column="bits_post",
            meaning="bits that the trained weights are quantized to",
            default=lambda N, D, C: 16.0 + 0.0 * N,
            choices=(1 / 2, 1 / 4),
        ),
    ),
)
