"""L(N, D) = E + max(A/N^alpha, B/D^(alpha/(1+alpha))): exponents that follow from the data's.

Michaud et al. (2023), The Quantization Model of Neural Scaling, section 2: skills are used with frequencies
p_i ~ i^-(1+alpha), a model of N parameters learns those used most, and D tokens show those with p_i D of
order one. Size alone leaves N^-alpha unlearned, data alone D^-(alpha/(1+alpha)), and both together what the
shorter of the two leaves: a maximum, and N_opt ~ C^(1/(alpha+2)).
"""

from __future__ import annotations

from isoflop.analysis.laws import maximum
from isoflop.analysis.laws.coordinates import Coordinates
from isoflop.analysis.laws.law import CENTRED_AMPLITUDE, EXPONENT, FREE, Array, Law, Slice, array_namespace


def as_maximum(params: Array) -> Array:
    """The five parameters of `maximum` for the same surface."""
    E, A, B, alpha = (params[i] for i in range(4))
    return array_namespace(params).stack([E, A, alpha, B, alpha / (1 + alpha)])


def predict(params: Array, N: Array, D: Array) -> Array:
    return maximum.predict(as_maximum(params), N, D)


def exponents(params: Array) -> tuple[Array, Array]:
    """a = 1/(alpha + 2), b = (alpha + 1)/(alpha + 2)."""
    alpha = params[3]
    return 1 / (alpha + 2), (alpha + 1) / (alpha + 2)


def allocate(params: Array, C: Array) -> Array:
    return maximum.allocate(as_maximum(params), C)


class _Coordinates(Coordinates):
    """theta of the four, B's term with its exponent alpha/(1 + alpha)."""

    def _slope(self, name: str, values: Array, n0: Array, d0: Array) -> Array:
        if name != "B":
            return super()._slope(name, values, n0, d0)
        xp = array_namespace(values)
        return values[3] / (1 + values[3]) * xp.log(xp.asarray(d0))


COORDINATES = _Coordinates(("E", "A", "B", "alpha"), {"A": {"N": "alpha"}, "B": {"D": "alpha"}})

LAW = Law(
    name="quantization",
    parameters=COORDINATES.parameters,
    equation="L(N, D) = E + max(A/N^alpha, B/D^(alpha/(1+alpha)))",
    source="Michaud et al. (2023), section 2",
    family="data",
    summary="both exponents from one, the tail of the data's frequencies",
    conventions="C = 6 N D; the loss in any unit; frequencies of rank i fall as i^-(1+alpha)",
    needs="runs limited by size and runs limited by data, over two decades of each",
    blind_to="a split other than a = 1/(alpha+2), below one half: `maximum`, with two exponents, tests it",
    drawn=Slice("N", 1e8, 1e11, (("C", 1e21),), params=(1.8, 40.0, 30.0, 0.2)),
    competes=False,
    predict=predict,
    encode=COORDINATES.encode,
    decode=COORDINATES.decode,
    start_box=((0.0, 2.0), CENTRED_AMPLITUDE, CENTRED_AMPLITUDE, (0.02, 1.5)),
    bounds=((0.0, float("inf")), FREE, FREE, (-0.5, EXPONENT[1])),
    # The loss is linear in A and B only where their term is the larger: E alone can be solved for.
    linear=(0,),
    exponents=exponents,
    allocate=allocate,
)
