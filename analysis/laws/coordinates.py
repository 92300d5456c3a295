"""The coordinates that a fit moves in place of a law's parameters, where these are of the usual kinds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from isoflop.analysis.laws.law import Array, array_namespace

LOG_SIX = math.log(6.0)


@dataclass(frozen=True, eq=False)  # compared and hashed as the functions that it stands for
class Coordinates:
    """theta of amplitudes, positive numbers and plain numbers, a coordinate a parameter.

    An amplitude A of a term A / (N^alpha D^beta ...) has the log of the term at the table's centre: A itself
    is the term at N = D = 1, decades from any run, so that it and alpha would move together along a narrow
    valley. A parameter in `logs` has its log, any other itself.
    """

    parameters: tuple[str, ...]
    amplitudes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """`{"A": {"N": "alpha"}}`: the exponent of each of `N`, `D` and `C` (6 N D) in the amplitude's term."""
    logs: tuple[str, ...] = ()

    def encode(self, params: Array, n0: Array, d0: Array) -> Array:
        """theta of parameters (first dimension P, as theta's)."""
        xp = array_namespace(params)
        logs_P = [xp.log(params[p]) if name in self._positive else params[p] for p, name in self._named]
        return xp.stack([x - self._slope(name, params, n0, d0) for x, name in self._zip(logs_P)])

    def decode(self, theta: Array, n0: Array, d0: Array) -> Array:
        """The inverse of `encode`."""
        xp = array_namespace(theta)
        # An exponent is never an amplitude: theta has it as it is.
        found = [x + self._slope(name, theta, n0, d0) for x, name in self._zip(list(theta))]
        return xp.stack([xp.exp(x) if name in self._positive else x for x, name in self._zip(found)])

    def from_logs(self, *names: str) -> Callable[[Array], Array]:
        """A law's `from_box`: natural parameters, of which `names` and the amplitudes are given by logs."""
        natural = Coordinates(self.parameters, logs=(*self.logs, *self.amplitudes, *names))
        return lambda x: natural.decode(x, 1.0, 1.0)

    @property
    def _positive(self) -> frozenset[str]:
        return frozenset((*self.amplitudes, *self.logs))

    @property
    def _named(self) -> list[tuple[int, str]]:
        return list(enumerate(self.parameters))

    def _zip(self, values: list[Array]) -> list[tuple[Array, str]]:
        return list(zip(values, self.parameters, strict=True))

    def _slope(self, name: str, values: Array, n0: Array, d0: Array) -> Array:
        """What a term's log at N = D = 1 has more than at the centre."""
        xp = array_namespace(values)
        n, d = xp.log(xp.asarray(n0)), xp.log(xp.asarray(d0))
        at = {"N": n, "D": d, "C": n + d + LOG_SIX}
        terms = self.amplitudes.get(name, {})
        return sum(values[self.parameters.index(exponent)] * at[input] for input, exponent in terms.items())
