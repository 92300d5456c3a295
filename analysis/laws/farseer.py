"""L(N, D) = exp(a3 N^g + b3) + exp(a2 N^b + b2) / D^exp(a1 N^a + b1): every term bends with the size.

Li et al. (2025), Predictable Scale, part II: Farseer. The floor, and amplitude and exponent of a learning
curve in D, are each an exponential of a power of N. The law is fitted there to about a thousand models.
"""

from __future__ import annotations

from isoflop.analysis.laws.law import FREE, Array, Law, Published, array_namespace

POWER = (-2.0, 2.0)


def curve(params: Array, first: int, N: Array) -> Array:
    """x N^y + z of the three parameters from `first`."""
    xp = array_namespace(params)
    x, y, z = (params[first + i] for i in range(3))
    return x * xp.exp(y * xp.log(N)) + z


def predict(params: Array, N: Array, D: Array) -> Array:
    xp = array_namespace(params)
    beta = xp.exp(curve(params, 0, N))
    return xp.exp(curve(params, 6, N)) + xp.exp(curve(params, 3, N) - beta * xp.log(D))


def encode(params: Array, n0: Array, d0: Array) -> Array:
    """theta: of each curve its slope in log N at the centre, its power, and its value there; of the amplitude
    the log of the whole term at the centre.
    """
    xp = array_namespace(params)
    n, d = xp.log(xp.asarray(n0)), xp.log(xp.asarray(d0))
    found = []
    for first in (0, 3, 6):
        x, y, z = (params[first + i] for i in range(3))
        rise = x * xp.exp(y * n)
        found += [rise * y, y, rise + z]
    found[5] = found[5] - xp.exp(found[2]) * d
    return xp.stack(found)


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    n, d = xp.log(xp.asarray(n0)), xp.log(xp.asarray(d0))
    found = []
    for first in (0, 3, 6):
        slope, y, value = (theta[first + i] for i in range(3))
        value = value + xp.exp(theta[2]) * d if first == 3 else value
        # Not at a power of zero, where the curve is a logarithm and its factor infinite.
        rise = slope / y
        found += [rise * xp.exp(-y * n), y, value - rise]
    return xp.stack(found)


PUBLISHED = (
    Published(
        "farseer",
        (-0.124, 0.123, 0.424, 88.01, -0.1, -6.287, -0.021, 0.169, -0.091),
        source="Li et al. (2025), part II, as a summary prints it",
        seen="quoted",
        count="body",
        loss_unit="bits per character",
        note="printed to two or three digits: they leave a best size at 1e21 FLOPs, beside a fall towards "
        "models without data, and none at 1e23",
    ),
)

LAW = Law(
    name="farseer",
    parameters=("a1", "a", "b1", "a2", "b", "b2", "a3", "g", "b3"),
    equation="L(N, D) = exp(a3 N^g + b3) + exp(a2 N^b + b2)/D^exp(a1 N^a + b1)",
    source="Li et al. (2025), Predictable Scale, part II",
    summary="floor, amplitude and exponent of the learning curve all bend with the size",
    conventions="N of the blocks alone; D tokens; bits per character, not nats per token",
    needs="a grid of ten sizes or more over three decades, each at eight horizons over three",
    blind_to="models without data: towards few tokens a parameter its loss falls again, so that a budget "
    "has a best size near the runs alone",
    has_optimum=False,
    competes=False,
    published=PUBLISHED,
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=(
        (-0.2, 0.1), (0.02, 0.5), (-2.0, 0.0), (-1.5, 0.1), (-0.5, -0.02), (-4.0, 1.0), (-0.5, 0.0),
        (0.02, 0.5), (-2.0, 1.0),
    ),
    bounds=(FREE, POWER, FREE, FREE, POWER, FREE, FREE, POWER, FREE),
)  # fmt: skip
