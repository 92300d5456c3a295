"""A law with some of its parameters fixed or tied: a law of those that are left.

What fits, certifies, profiles and resamples a law takes the free parameters alone, and counts them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from isoflop.analysis.laws.evaluate import decoded, encoded, float64_on_cpu
from isoflop.analysis.laws.law import EXPONENT, FREE, Array, Law, array_namespace
from isoflop.base.errors import UserError

MOST_PASSES = 8
"""Passes of `_decode` after which a law's coordinates depend on each other in a circle."""
CENTRE = (3e8, 2e10)
"""Where the coordinates of a constrained law are tried, N and D."""
KINDS = {FREE: "an amplitude", EXPONENT: "an exponent"}


class MapArrays(NamedTuple):
    """How a law's P parameters follow from the F that are free, as arrays: an argument of a program."""

    free_F: Array
    """Positions of the free ones among the P."""
    source_P: Array
    """Each one's position among the F: its own, or that of the one it is tied to; 0 for a fixed one."""
    fixed_P: Array
    """Which ones have a value of their own."""
    value_P: Array
    """The fixed ones' values; 0 for the others."""

    def full(self, params: Array) -> Array:
        """All parameters (first dimension P) from the free ones (first dimension F)."""
        xp = array_namespace(params)
        shape = (-1, *(1 for _ in params.shape[1:]))
        return xp.where(self.fixed_P.reshape(shape), self.value_P.reshape(shape), params[self.source_P])


@dataclass(frozen=True)
class Map:
    """How a law's P parameters follow from the F that are free; fields as in `MapArrays`, without a value
    None."""

    free: tuple[int, ...]
    source_P: tuple[int, ...]
    value_P: tuple[float | None, ...]

    @functools.cached_property
    def arrays(self) -> MapArrays:
        """The same as arrays."""
        fixed_P = np.array([value is not None for value in self.value_P])
        value_P = np.array([value or 0.0 for value in self.value_P])
        return MapArrays(np.array(self.free), np.array(self.source_P), fixed_P, value_P)

    def full(self, params: Array) -> Array:
        """All parameters (first dimension P) from the free ones (first dimension F)."""
        return self.arrays.full(np.asarray(params, dtype=float))

    def rows(self, params_BxF: np.ndarray) -> np.ndarray:
        """All parameters of each of B vectors of free ones, BxP."""
        return self.full(np.asarray(params_BxF).T).T


@dataclass(frozen=True)
class Constraint:
    """What makes a law of the whole one: the map, and the passes that `decode` takes."""

    whole: Law
    map: Map
    passes: int


@dataclass(frozen=True)
class Form:
    """What of a law a program is compiled for. Which parameters are fixed and tied, and the values, are an
    argument of the program: one serves all constraints that leave as many free."""

    whole: Law
    free: int | None = None
    """Parameters left free; None where none is fixed or tied."""
    passes: int = 0
    linear: tuple[int, ...] = ()
    """Of the free ones, where the program solves for them apart."""

    def law(self, arrays: MapArrays | None) -> Law:
        """The law within a program; of a constrained one what JAX traces is whole, and nothing else."""
        if arrays is None:
            return self.whole
        functions = _functions(self.whole, arrays, self.passes)
        names = tuple(map(str, range(self.free or 0)))
        return dataclasses.replace(
            self.whole, parameters=names, linear=self.linear, bounds=(), start_box=(), **functions
        )


def form_of(law: Law, projected: bool = False) -> tuple[Form, MapArrays | None]:
    """What a law's programs are compiled for, and their argument. `projected`: the program solves for linear
    amplitudes apart."""
    if law.constraint is None:
        return Form(law), None
    whole, how, passes = law.constraint.whole, law.constraint.map, law.constraint.passes
    return Form(whole, len(how.free), passes, law.linear if projected else ()), how.arrays


@dataclass(frozen=True)
class Constrained:
    """The law of the free parameters, and how all of the whole law's follow from them."""

    law: Law
    whole: Law
    map: Map


@functools.cache
def constrain(
    law: Law, fixed: tuple[tuple[str, float], ...], tied: tuple[tuple[str, str], ...]
) -> Constrained:
    """The law with parameters `fixed` at values, and others `tied`, (name, name it is equal to).

    Raises `UserError` for a name that the law does not have, a value out of its bounds, a tie of parameters
    of different kinds or of a fixed one, and where nothing is left free.
    """
    values = _checked_values(law, fixed)
    leaders = _checked_ties(law, tied, values)
    P = len(law.parameters)
    free = tuple(p for p in range(P) if p not in values and p not in leaders)
    if not free:
        raise UserError(f"every parameter of {law.name} is fixed or tied: leave one free to be fitted")
    source_P = tuple(0 if p in values else free.index(leaders.get(p, p)) for p in range(P))
    how = Map(free, source_P, tuple(values.get(p) for p in range(P)))
    if len(free) == P:
        return Constrained(law, law, how)
    _check_bounds(law, how)
    said = [f"{law.parameters[p]} = {value:g}" for p, value in values.items()]
    said += [f"{law.parameters[p]} = {law.parameters[q]}" for p, q in leaders.items()]
    for passes in range(1, MOST_PASSES + 1):
        found = _derived(law, how, passes, ", ".join(said))
        if _inverts(found):
            return Constrained(found, law, how)
    raise UserError(f"{law.name} cannot hold {', '.join(said)}: its encode and decode depend on each other")


def _derived(law: Law, how: Map, passes: int, said: str) -> Law:
    """The law of the free parameters."""
    free, P = np.array(how.free), len(law.parameters)
    members = [
        [p for p in range(P) if how.source_P[p] == f and how.value_P[p] is None] for f in range(len(free))
    ]

    def mirror(params: Array, c: float, k: float) -> Array:
        assert law.mirror is not None
        other = np.asarray(law.mirror(how.full(params), c, k), dtype=float)
        # A mirrored optimum that breaks a constraint is none.
        kept = np.allclose(how.full(other[free]), other, rtol=1e-9)
        return other[free] if kept else np.full(len(free), np.nan)

    exponents, allocate = law.exponents, law.allocate
    return dataclasses.replace(
        law,
        name=f"{law.name} with {said}",
        parameters=tuple(law.parameters[p] for p in how.free),
        equation=f"{law.equation}, {said}",
        start_box=tuple(law.start_box[p] for p in how.free),
        bounds=tuple(law.bounds[p] for p in how.free) if law.bounds else (),
        linear=tuple(f for f, same in enumerate(members) if set(same) <= set(law.linear)),
        exponents=None if exponents is None else lambda params: exponents(how.full(params)),
        allocate=None if allocate is None else lambda params, C: allocate(how.full(params), C),
        mirror=None if law.mirror is None else mirror,
        constraint=Constraint(law, how, passes),
        **_functions(law, how.arrays, passes),
    )


def _functions(law: Law, how: MapArrays, passes: int) -> dict[str, Callable[..., Array] | None]:
    """The functions of the law of the free parameters, of numpy's arrays and of JAX's."""
    middle_of_box_P = np.array(law.start_box).mean(axis=1)

    def predict(params: Array, N: Array, D: Array, *covariates: Array) -> Array:
        return law.predict(how.full(params), N, D, *covariates)

    def encode(params: Array, n0: float, d0: float) -> Array:
        return law.encode(how.full(params), n0, d0)[how.free_F]

    def decode(theta: Array, n0: Array, d0: Array) -> Array:
        # The coordinates of what is fixed or tied may depend on other parameters: log A - alpha log n0 on
        # alpha. They are found in passes, each from the parameters of the last, from any point of the box.
        middle_P = array_namespace(theta).asarray(middle_of_box_P)
        params_P = law.from_box(middle_P) if law.from_box else law.decode(middle_P, n0, d0)
        theta_P = law.encode(how.full(params_P[how.free_F]), n0, d0)
        for _ in range(passes):
            params = law.decode(_placed(theta_P, how.free_F, theta), n0, d0)
            theta_P = law.encode(how.full(params[how.free_F]), n0, d0)
        return law.decode(_placed(theta_P, how.free_F, theta), n0, d0)[how.free_F]

    def from_box(x: Array) -> Array:
        assert law.from_box is not None
        middle_P = array_namespace(x).asarray(middle_of_box_P)
        return law.from_box(_placed(middle_P, how.free_F, x))[how.free_F]

    return {
        "predict": predict, "encode": encode, "decode": decode,
        "from_box": None if law.from_box is None else from_box,
    }  # fmt: skip


def _placed(whole: Array, at_F: Array, part: Array) -> Array:
    """`whole`, one vector or a column for each of `part`'s, with `part` at these positions."""
    if not isinstance(part, np.ndarray):
        return whole.at[at_F].set(part)
    columns = whole.reshape(len(whole), *(1,) * (part.ndim - whole.ndim), *whole.shape[1:])
    found = np.broadcast_to(columns, (len(whole), *part.shape[1:])).copy()
    found[at_F] = part
    return found


def _inverts(found: Law) -> bool:
    """Whether decode undoes encode, tried at two points of the box."""
    low, high = np.array(found.start_box).T
    points = []
    for share in (0.3, 0.6):
        x = low + share * (high - low)
        with float64_on_cpu():
            points.append(np.asarray(found.from_box(x) if found.from_box else found.decode(x, *CENTRE)))
    params = np.stack(points)
    back = decoded(found, encoded(found, params, CENTRE), CENTRE)
    return bool(np.allclose(back, params, rtol=1e-9, atol=0.0))


def _checked_values(law: Law, fixed: tuple[tuple[str, float], ...]) -> dict[int, float]:
    values: dict[int, float] = {}
    for name, value in fixed:
        p = _position(law, name, "--fix")
        if values.setdefault(p, value) != value:
            raise UserError(f"--fix {name}: two values, {values[p]:g} and {value:g}")
    return values


def _checked_ties(law: Law, tied: tuple[tuple[str, str], ...], values: dict[int, float]) -> dict[int, int]:
    """The leader of each tied parameter: the first of its set, in the law's order."""
    leader = list(range(len(law.parameters)))
    for pair in tied:
        a, b = (_position(law, name, "--tie") for name in pair)
        words = f"--tie {pair[0]}={pair[1]}"
        if a == b:
            raise UserError(f"{words}: a parameter is equal to itself; name two")
        for p, other in ((a, b), (b, a)):
            if p in values:
                raise UserError(
                    f"{words}: {law.parameters[p]} is fixed already; --fix {law.parameters[other]}="
                    f"{values[p]:g} instead of the tie"
                )
        kinds = [_kind(law, p) for p in (a, b)]
        if law.bounds and law.bounds[a] != law.bounds[b]:
            raise UserError(
                f"{words}: {pair[0]} is {kinds[0]} and {pair[1]} {kinds[1]}: tie parameters of one kind"
            )
        first, last = sorted((leader[a], leader[b]))
        leader = [first if q == last else q for q in leader]
    return {p: q for p, q in enumerate(leader) if p != q}


def _kind(law: Law, p: int) -> str:
    bounds = law.bounds[p] if law.bounds else FREE
    return KINDS.get(bounds, f"of a kind of its own ({law.parameters[p]})")


def _position(law: Law, name: str, option: str) -> int:
    if name not in law.parameters:
        known = ", ".join(law.parameters)
        raise UserError(f"{option} {name}: {law.name} has no such parameter; it has {known}")
    return law.parameters.index(name)


def _check_bounds(law: Law, how: Map) -> None:
    """Refuse a fixed value out of the law's bounds."""
    with float64_on_cpu():
        middle_P = np.array(law.start_box).mean(axis=1)
        params_P = law.from_box(middle_P) if law.from_box else law.decode(middle_P, *CENTRE)
        params_P = how.full(np.asarray(params_P)[how.arrays.free_F])
        theta_P = np.asarray(law.encode(params_P, *CENTRE))
    bounds = law.bounds or (FREE,) * len(theta_P)
    for p, value in enumerate(how.value_P):
        low, high = bounds[p]
        if value is None or (np.isfinite(theta_P[p]) and low <= theta_P[p] <= high):
            continue
        raise UserError(f"--fix {law.parameters[p]}={value:g}: {law.name} takes {_range(law, p, theta_P)}")


def _range(law: Law, p: int, theta_P: np.ndarray) -> str:
    """The values that a parameter can have, in words."""
    ends = []
    for bound in (law.bounds or (FREE,) * len(theta_P))[p]:
        moved = np.nan_to_num(theta_P)
        moved[p] = bound
        with float64_on_cpu():
            ends.append(float(np.asarray(law.decode(moved, *CENTRE))[p]))
    low, high = ends
    if np.isfinite(high):
        return f"values from {low:.3g} to {high:.3g}"
    if not np.isfinite(low):
        return "finite numbers"
    reached = law.bounds and np.isfinite(law.bounds[p][0])
    return f"values {'of at least' if reached else 'above'} {low:.3g}"
