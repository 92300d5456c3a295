"""y(x) = E + B x^-c0 (1 + (x/d1)^(1/f1))^(-c1 f1): a power law that bends once, at d1, over a width f1.

Caballero et al. (2023), Broken Neural Scaling Laws, arXiv 2210.14891, equation 1 with one break; they write a
and b for E and B. x is the training compute, or whatever stands in the column `flops`; y any measure that
falls. Below d1 the slope of log (y - E) is -c0, above it -(c0 + c1); a break beyond the runs leaves no trace
in them but a deviation of (x/d1)^(1/f1).
"""

from __future__ import annotations

from isoflop.analysis.laws.law import FREE, Array, Covariate, Law, Published, Slice, array_namespace


def predict(params: Array, N: Array, D: Array, C: Array) -> Array:
    xp = array_namespace(params)
    E, B, c0, c1, d1, f1 = (params[i] for i in range(6))
    # log(1 + (x/d)^(1/f)), which would overflow as a power where f is small.
    bend = xp.logaddexp(0.0, (xp.log(C) - xp.log(d1)) / f1)
    return E + B * xp.exp(-c0 * xp.log(C) - c1 * f1 * bend) + 0.0 * (N + D)


def encode(params: Array, n0: float, d0: float) -> Array:
    """theta = (E, log of B x^-c0 at x = 6 n0 d0, c0, c1, log of d1 over that x, log of f1)."""
    xp = array_namespace(params)
    E, B, c0, c1, d1, f1 = (params[i] for i in range(6))
    log_x = xp.log(6 * n0 * d0)
    return xp.stack([E, xp.log(B) - c0 * log_x, c0, c1, xp.log(d1) - log_x, xp.log(f1)])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    E, level, c0, c1, centred, log_f = (theta[i] for i in range(6))
    log_x = xp.log(6 * n0 * d0)
    return xp.stack([E, xp.exp(level + c0 * log_x), c0, c1, xp.exp(centred + log_x), xp.exp(log_f)])


PUBLISHED = (
    Published(
        "addition",
        (
            0.41388453071629455,
            2.2772722897737556,
            0.055077348404973955,
            5.662903816010331,
            612.5836172918001,
            0.059193036393742314,
        ),
        source="ethancaballero/broken_neural_scaling_laws at ffa608f, the simulated truth of figure 4 right",
        seen="code",
        loss_unit="nats",
        data="four-digit addition; x counts training examples, in place of FLOPs",
        note="x is no compute here",
    ),
)

LAW = Law(
    name="caballero",
    parameters=("E", "B", "c0", "c1", "d1", "f1"),
    equation="y(x) = E + B x^-c0 (1 + (x/d1)^(1/f1))^(-c1 f1)",
    source="Caballero et al. (2023), equation 1, one break",
    summary="a power law with one smooth break: two slopes in one curve",
    sized=False,
    conventions="x: what stands in the column flops; any measure that falls",
    needs="runs on both sides of the break, or noise so small that its approach shows",
    blind_to="a break beyond the runs; the split of a budget between N and D",
    has_optimum=False,
    drawn=Slice("x", 1.0, 4e3),
    published=PUBLISHED,
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((0.0, 1.0), (-3.0, 2.0), (0.0, 0.6), (-0.5, 6.0), (-3.0, 3.0), (-3.5, 1.0)),
    bounds=((0.0, float("inf")), FREE, (-8.0, 8.0), (-20.0, 20.0), (-12.0, 12.0), (-7.0, 4.0)),
    linear=(0, 1),
    covariates=(
        Covariate("x", "flops", "the training compute, or whatever stands in its column", lambda N, D, C: C),
    ),
    competes=False,
)
