"""log10 L = a log10 N + b log10 Ehat + c log10 N log10 Ehat + d: routed models by size and number of experts.

Clark et al. (2022), Unified Scaling Laws for Routed Language Models (arXiv 2202.01169), equations 1 and 2. N
counts what a token uses, whatever the number of experts E; 1/Ehat = 1/(E - 1 + 1/(1/E_start - 1/E_max)) +
1/E_max runs from E_start at E = 1 to E_max.
"""

from __future__ import annotations

import math

import numpy as np

from isoflop.analysis.laws.law import FREE, Array, Covariate, Law, Published, Slice, array_namespace

LOG_TEN = math.log(10.0)


def saturating(params: Array, E: Array) -> Array:
    """Ehat at E experts."""
    start, most = params[4], params[5]
    return 1 / (1 / (E - 1 + 1 / (1 / start - 1 / most)) + 1 / most)


def predict(params: Array, N: Array, D: Array, E: Array) -> Array:
    xp = array_namespace(params)
    a, b, c, d = (params[i] for i in range(4))
    n, e = xp.log(N) / LOG_TEN, xp.log(saturating(params, E)) / LOG_TEN
    return xp.exp(LOG_TEN * (a * n + b * e + c * n * e + d))


def encode(params: Array, n0: Array, d0: Array) -> Array:
    """theta = (slope in log N, slope in log Ehat at N = n0, c, log10 L at n0 and Ehat = 1, log E_start,
    log (E_max - E_start))."""
    xp = array_namespace(params)
    a, b, c, d, start, most = (params[i] for i in range(6))
    n = xp.log(xp.asarray(n0)) / LOG_TEN
    return xp.stack([a, b + c * n, c, d + a * n, xp.log(start), xp.log(most - start)])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    a, slope, c, level = (theta[i] for i in range(4))
    start, more = xp.exp(theta[4]), xp.exp(theta[5])
    n = xp.log(xp.asarray(n0)) / LOG_TEN
    return xp.stack([a, slope - c * n, c, level - a * n, start, start + more])


def effective_parameters(params: Array, N: Array, E: Array) -> Array:
    """The dense model (E = 1) of the same loss: its parameters.

    As in google-deepmind/scaling_laws_for_routing, example.ipynb, at 42da0c3.
    """
    params = np.asarray(params)
    a, b, c = (params[i] for i in range(3))
    n, e, start = np.log10(N), np.log10(saturating(params, np.asarray(E))), np.log10(params[4])
    return 10 ** ((n * (a + c * e) + b * (e - start)) / (a + c * start))


def cutoff(params: Array) -> Array:
    """Size beyond which more experts don't lower the loss: N_cutoff = 10^(-b/c)."""
    params = np.asarray(params)
    return 10 ** (-params[1] / params[2])


PUBLISHED = tuple(
    Published(
        name,
        params,
        source="Clark et al. (2022), table 3",
        seen="quoted",
        n_range=(1.5e7, 1.3e9),
        d_range=(1.3e11, 1.3e11),
        count="active",
        data="MassiveText, a vocabulary of 32,000",
        note=f"three digits are too few for N_cutoff, {printed}: these give {cutoff(params):.3g}; fit "
        "public:clark for more (docs/laws-architecture.md)",
    )
    for name, params, printed in (
        ("s-base", (-0.082, -0.108, 0.009, 1.104, 1.847, 314.478), "printed as 937B"),
        ("rl-r", (-0.083, -0.126, 0.012, 1.111, 1.880, 469.982), "printed as 85B"),
        ("hash", (-0.087, -0.136, 0.012, 1.157, 4.175, 477.741), "printed as 83B"),
    )
)

LAW = Law(
    name="clark",
    parameters=("a", "b", "c", "d", "E_start", "E_max"),
    equation="log10 L(N, E) = a log10 N + b log10 Ehat + c log10 N log10 Ehat + d, 1/Ehat = 1/(E - 1 + "
    "1/(1/E_start - 1/E_max)) + 1/E_max",
    source="Clark et al. (2022), equations 1 and 2",
    family="architecture",
    summary="routed models: what E experts are worth, less the larger the model",
    conventions="N the parameters that a token uses (--count active), so that FLOPs per token don't change "
    "with E; nats per token at 130B tokens",
    needs="one number of tokens for all runs; several sizes, with experts from 1 to hundreds at each",
    blind_to="D, which was 130B tokens throughout, and with it the best size for a budget; several experts a "
    "token; finer experts",
    drawn=Slice("E", 1, 512, (("N", 1.3e8), ("D", 1.3e11))),
    published=PUBLISHED,
    has_optimum=False,
    competes=False,
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((-0.2, -0.02), (-0.1, 0.0), (-0.01, 0.03), (0.1, 0.8), (-1.0, 2.0), (4.0, 7.0)),
    bounds=(FREE, FREE, FREE, FREE, (-5.0, 8.0), (-5.0, 15.0)),
    covariates=(
        Covariate(
            symbol="E",
            column="experts",
            meaning="experts in a routed layer, of which a token visits one; 1 is a dense model",
            default=lambda N, D, C: 1.0 + 0.0 * N,
            choices=(1.0, 8.0, 64.0),
            least=1.0,
        ),
    ),
)
