"""Laws that are one product of powers: y = K times powers of N, D and C, or (scale / x)^exponent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from isoflop.analysis.laws.coordinates import LOG_SIX
from isoflop.analysis.laws.law import FREE, Array, Covariate, Law, array_namespace

EXPONENTS = (-3.0, 3.0)
SCALE_START = ((-1.0, 3.0), (0.005, 1.0))
"""Of a `ScaleLaw`: log of the loss at the table's centre, and the exponent."""
SCALE_BOUNDS = (FREE, (1e-3, 8.0))
COMPUTE = Covariate("C", "flops", "training compute, FLOPs", lambda N, D, C: C)


@dataclass(frozen=True)
class PowerLaw:
    """K times a power of each input, and theta: the log of that at the table's centre, and the exponents."""

    inputs: tuple[str, ...]
    """Of `N`, `D` and `C`, each once."""
    exponents: tuple[str, ...]
    """The parameters after K, in the order of the inputs."""
    typical: tuple[float, float]
    """Logs between which y lies at a table's centre."""
    covariates: tuple[Covariate, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "covariates", (COMPUTE,) if "C" in self.inputs else ())

    def predict(self, params: Array, N: Array, D: Array, *compute: Array) -> Array:
        xp = array_namespace(params)
        given = dict(zip("NDC", (N, D, *compute), strict=False))
        # N and D take part for their shape alone where they are no input: every law's inputs broadcast.
        logs = sum(params[p] * xp.log(given[x]) for p, x in enumerate(self.inputs, 1))
        return params[0] * xp.exp(logs) + 0.0 * (N + D)

    def encode(self, params: Array, n0: Array, d0: Array) -> Array:
        xp = array_namespace(params)
        level = xp.log(params[0]) + self._slope(params, n0, d0)
        return xp.stack([level, *(params[p] for p in range(1, len(params)))])

    def decode(self, theta: Array, n0: Array, d0: Array) -> Array:
        xp = array_namespace(theta)
        K = xp.exp(theta[0] - self._slope(theta, n0, d0))
        return xp.stack([K, *(theta[p] for p in range(1, len(theta)))])

    def law(self, name: str, **said: Any) -> Law:
        """The law of this form; `said`: the other fields of `Law`."""
        box = (self.typical, *((-1.0, 1.0) for _ in self.exponents))
        return Law(
            name=name,
            parameters=("K", *self.exponents),
            predict=self.predict,
            encode=self.encode,
            decode=self.decode,
            start_box=box,
            bounds=((float("-inf"), float("inf")), *(EXPONENTS for _ in self.exponents)),
            linear=(0,),
            covariates=self.covariates,
            has_optimum=False,
            **said,
        )

    def _slope(self, values: Array, n0: Array, d0: Array) -> Array:
        """The log of y/K at the table's centre."""
        xp = array_namespace(values)
        n, d = xp.log(xp.asarray(n0)), xp.log(xp.asarray(d0))
        at = {"N": n, "D": d, "C": n + d + LOG_SIX}
        return sum(values[p] * at[x] for p, x in enumerate(self.inputs, 1))


@dataclass(frozen=True)
class ScaleLaw:
    """L = (scale / x)^exponent, and theta: the log of the loss at the table's centre, and the exponent."""

    input: str
    """x: `N`, `D` or `C`, which is then the law's covariate."""

    def predict(self, params: Array, N: Array, D: Array, *compute: Array) -> Array:
        xp = array_namespace(params)
        x = dict(zip("NDC", (N, D, *compute), strict=False))[self.input]
        # The others take part for their shape alone: every law's inputs broadcast.
        return xp.exp(params[1] * (xp.log(params[0]) - xp.log(x))) + 0.0 * (N + D)

    def encode(self, params: Array, n0: Array, d0: Array) -> Array:
        xp = array_namespace(params)
        return xp.stack([params[1] * (xp.log(params[0]) - xp.log(self._centre(n0, d0))), params[1]])

    def decode(self, theta: Array, n0: Array, d0: Array) -> Array:
        xp = array_namespace(theta)
        return xp.stack([self._centre(n0, d0) * xp.exp(theta[0] / theta[1]), theta[1]])

    def _centre(self, n0: Array, d0: Array) -> Array:
        return {"N": n0, "D": d0, "C": 6 * n0 * d0}[self.input]
