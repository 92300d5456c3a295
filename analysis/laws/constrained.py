"""A law with some of its parameters fixed or tied: a law of those that are left.

What fits, certifies, profiles and resamples a law takes the free parameters alone, and counts them.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from isoflop.analysis.laws.evaluate import decoded, encoded, float64_on_cpu
from isoflop.analysis.laws.law import EXPONENT, FREE, Array, Law, array_namespace
from isoflop.base.errors import UserError

MOST_PASSES = 8
"""Passes of `_decode` after which a law's coordinates depend on each other in a circle."""
CENTRE = (3e8, 2e10)
"""Where the coordinates of a constrained law are tried, N and D."""
KINDS = {FREE: "an amplitude", EXPONENT: "an exponent"}


@dataclass(frozen=True)
class Map:
    """How a law's P parameters follow from the F that are free."""

    free: tuple[int, ...]
    """Positions of the free ones among the P."""
    source_P: tuple[int, ...]
    """Each one's position among the F: its own, or that of the one it is tied to; 0 for a fixed one."""
    value_P: tuple[float | None, ...]
    """The fixed ones' values; None for the others."""

    def full(self, params: Array, xp: ModuleType = np) -> Array:
        """All parameters (first dimension P) from the free ones (first dimension F)."""
        params = xp.asarray(params)
        shape = (-1, *(1 for _ in params.shape[1:]))
        fixed = np.array([value is not None for value in self.value_P]).reshape(shape)
        value = np.array([value or 0.0 for value in self.value_P]).reshape(shape)
        return xp.where(fixed, value, params[np.array(self.source_P)])

    def rows(self, params_BxF: np.ndarray) -> np.ndarray:
        """All parameters of each of B vectors of free ones, BxP."""
        return self.full(np.asarray(params_BxF).T).T


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

    def all_of(params: Array) -> Array:
        return how.full(params, array_namespace(params))

    def predict(params: Array, N: Array, D: Array, *covariates: Array) -> Array:
        return law.predict(all_of(params), N, D, *covariates)

    def encode(params: Array, n0: float, d0: float) -> Array:
        return law.encode(all_of(params), n0, d0)[free]

    def decode(theta: Array, n0: Array, d0: Array) -> Array:
        # The coordinates of what is fixed or tied may depend on other parameters: log A - alpha log n0 on
        # alpha. They are found in passes, each from the parameters of the last, from any point of the box.
        theta_P = law.encode(all_of(_middle(law, n0, d0)[free]), n0, d0)
        for _ in range(passes):
            params = law.decode(theta_P.at[free].set(theta), n0, d0)
            theta_P = law.encode(all_of(params[free]), n0, d0)
        return law.decode(theta_P.at[free].set(theta), n0, d0)[free]

    def from_box(x: Array) -> Array:
        return (law.from_box or _unused)(_middle_of_box(law).at[free].set(x))[free]

    def mirror(params: Array, c: float, k: float) -> Array:
        other = np.asarray((law.mirror or _unused)(how.full(params), c, k), dtype=float)
        # A mirrored optimum that breaks a constraint is none.
        kept = np.allclose(how.full(other[free]), other, rtol=1e-9)
        return other[free] if kept else np.full(len(free), np.nan)

    exponents, allocate = law.exponents, law.allocate
    return dataclasses.replace(
        law,
        name=f"{law.name} with {said}",
        parameters=tuple(law.parameters[p] for p in how.free),
        equation=f"{law.equation}, {said}",
        predict=predict,
        encode=encode,
        decode=decode,
        start_box=tuple(law.start_box[p] for p in how.free),
        from_box=None if law.from_box is None else from_box,
        bounds=tuple(law.bounds[p] for p in how.free) if law.bounds else (),
        linear=tuple(f for f, same in enumerate(members) if set(same) <= set(law.linear)),
        exponents=None if exponents is None else lambda params: exponents(how.full(params)),
        allocate=None if allocate is None else lambda params, C: allocate(how.full(params), C),
        mirror=None if law.mirror is None else mirror,
    )


def _unused(*_: Array) -> Array:
    raise AssertionError("not of this law")


def _middle(law: Law, n0: Array, d0: Array) -> Array:
    """Parameters at the middle of the law's box."""
    middle = _middle_of_box(law)
    return law.decode(middle, n0, d0) if law.from_box is None else law.from_box(middle)


def _middle_of_box(law: Law) -> Array:
    import jax.numpy as jnp  # here: who asks a law by its name needs none of it

    return jnp.array(law.start_box).mean(axis=1)


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
        params_P = how.full(np.asarray(_middle(law, *CENTRE))[np.array(how.free)])
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
