"""What a scaling law has to say about itself to be fitted, judged and extrapolated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from isoflop.base.errors import UserError, perhaps

if TYPE_CHECKING:
    from isoflop.analysis.laws.constrained import Constraint

Array = Any
"""A numpy or a JAX array: a law's functions are traced by JAX and also called on numpy arrays."""

FAMILIES = {
    "compute": "loss by size, data and compute",
    "data": "repeated, mixed and redundant data, vocabulary",
    "architecture": "experts and sparsity",
    "precision": "low precision and distillation",
    "hyperparameters": "learning rate and batch",
    "schedules": "whole loss curves under a learning-rate schedule",
    "downstream": "from loss to error and accuracy",
    "test-time": "compute at test time and reinforcement learning",
}
"""Families of laws, in the order they are listed."""
SEEN = {
    "code": "read in the authors' own code or data",
    "quoted": "quoted by others, who agree",
    "memory": "not confirmed against the paper",
}
"""How a published constant was read."""

FREE = (float("-inf"), float("inf"))
EXPONENT = (-2.0, 8.0)
"""Bounds of an exponent: beyond them a term is a spike on the table's smallest or largest size."""
CENTRED_AMPLITUDE = (-4.0, 2.0)
CENTRED_TERMS = (CENTRED_AMPLITUDE, (0.02, 1.5), CENTRED_AMPLITUDE, (0.02, 1.5))
"""A box for two terms as theta has them: log of the term at the table's centre (nats), exponent."""


@dataclass(frozen=True)
class Derived:
    """A covariate's values out of other columns of the run table."""

    columns: tuple[str, ...]
    of: Callable[..., Array]
    """`of(*columns) -> values`, each an array with one entry a run; NaN where a value stands for nothing."""


@dataclass(frozen=True)
class Covariate:
    """What a law needs to know of a run besides N and D."""

    symbol: str
    column: str
    """The run table's column; `flops` stands for the compute that the fit counts."""
    meaning: str
    default: Callable[[Array, Array, Array], Array]
    """`default(N, D, C)`: its value where a prediction names none."""
    groups: tuple[str, ...] = ()
    """Names of groups of runs, where its values are their numbers, from 1; the column has the names."""
    choices: tuple[float, ...] = ()
    """Multiples of the default that a run could have; empty: the default is no choice."""
    derived: tuple[Derived, ...] = ()
    """Where a table lacks the column: the first of these whose columns it has gives the values."""
    signed: bool = False
    """Whether it may be zero or negative."""
    least: float = float("-inf")
    """The smallest and the largest value (`most`) that it may have: 0 and 1 of a share."""
    most: float = float("inf")

    def check(self, value: float) -> None:
        """Raises `UserError` for a value that it cannot have."""
        if np.isfinite(value) and (self.signed or value > 0) and self.least <= value <= self.most:
            return
        ends = {"at least": self.least, "at most": self.most}
        bounded = [f"{word} {end:g}" for word, end in ends.items() if np.isfinite(end)]
        wanted = ", ".join(["a number" if self.signed else "a positive number", *bounded])
        raise UserError(f"--with {self.symbol}={value:g}: give {wanted}; {self.symbol}: {self.meaning}")


@dataclass(frozen=True)
class Published:
    """One set of a law's constants, as a paper or its authors' code state them."""

    name: str
    """What it is called after the law and a colon: `chinchilla:besiroglu`."""
    params: tuple[float, ...]
    """In the law's order and units, to the digits that are printed."""
    source: str
    """Paper and table or equation, or repository, commit and file."""
    seen: Literal["code", "quoted", "memory"]
    standard_errors: tuple[float, ...] | None = None
    """Of `params`, as printed; no covariance is printed with them."""
    unidentified: tuple[str, ...] = ()
    """Parameters that the runs of the source leave open, whatever is printed."""
    n_range: tuple[float, float] | None = None
    """Parameters, `d_range`: tokens, `flops_range`: FLOPs, of the runs that were fitted; None: not known."""
    d_range: tuple[float, float] | None = None
    flops_range: tuple[float, float] | None = None
    count: Literal["total", "non_embedding", "body", "active"] = "total"
    """Which parameters its N counts."""
    loss_unit: str = "nats per token"
    input_loss_unit: str | None = None
    """Of the loss that the law takes as an input; `input_loss_range`: over the runs that were fitted."""
    input_loss_range: tuple[float, float] | None = None
    data: str | None = None
    """What the runs were trained on, and the tokenizer where it is known."""
    note: str = ""
    """What whoever uses it must know: rounding, counting, what it does not reproduce."""


@dataclass(frozen=True)
class Slice:
    """Where a law is drawn: along one input, the others held."""

    x: str
    """`N`, `D`, `C` (with D = C / 6N) or a covariate's symbol."""
    low: float
    high: float
    at: tuple[tuple[str, float], ...] = ()
    """The others by symbol; `C` stands for D = C / 6N, and what is not named has its default."""
    params: tuple[float, ...] | None = None
    """The parameters; None: those of the first published set."""


ISOFLOP = Slice("N", 1e8, 1e11, (("C", 1e21),))


@dataclass(frozen=True)
class Law:
    """A parametric form of a loss, L(N, D) in nats per token, or of another quantity, and what is known of it
    in closed form.

    The fit moves `theta`, a vector of the same length as `parameters`. `n0` and `d0` are the geometric
    means of N and D over the table: a law that writes its amplitudes at that point instead of at N = D = 1
    makes the fit well conditioned, whatever the units.
    """

    name: str
    parameters: tuple[str, ...]
    """Names of the P natural parameters, in the order of every parameter vector."""
    equation: str
    """The form in plain text, for people."""
    source: str
    """Paper, section and equation."""
    predict: Callable[..., Array]
    """`predict(params_P, N, D, *covariates) -> loss`, nats per token; jax-traceable, inputs broadcast."""
    encode: Callable[[Array, float, float], Array]
    """`encode(params_P, n0, d0) -> theta_P`. Coordinate p of theta stands for parameter p. It and `decode`,
    `from_box` and `predict` take many vectors at once, as columns of an array of further dimensions."""
    decode: Callable[[Array, Any, Any], Array]
    """`decode(theta_P, n0, d0) -> params_P`, the inverse of `encode`; jax-traceable."""
    start_box: tuple[tuple[float, float], ...]
    """P intervals that starting points are spread over, in the coordinates of `from_box`."""
    from_box: Callable[[Array], Array] | None = None
    """`from_box(x_P) -> params_P`: natural parameters at a point of the box; None: the box is of theta."""
    bounds: tuple[tuple[float, float], ...] = ()
    """P intervals that theta stays in; empty: unbounded. A bound that is hit is reported."""
    linear: tuple[int, ...] = ()
    """Indices of nonnegative amplitudes that `predict` is linear in: the rest of a starting point then fixes
    them by linear least squares, and no start is lost on a plateau where a term has no weight."""
    covariates: tuple[Covariate, ...] = ()
    """What it needs besides N and D, in the order that `predict` takes them."""
    family: str = "compute"
    """One of `FAMILIES`."""
    summary: str = ""
    """What it describes, in one line."""
    target: str = "loss"
    """The column that it predicts."""
    sized: bool = True
    """Whether N and D take part: where they don't, a table needs neither."""
    conventions: str = ""
    """How N, C and the target are counted in the source, and in what units."""
    needs: str = ""
    """What runs identify its parameters."""
    blind_to: str = ""
    """What it cannot see or say."""
    drawn: Slice = ISOFLOP
    """What `isoflop laws NAME` draws of it."""
    published: tuple[Published, ...] = ()
    """Sets of constants that predict without a table."""
    contains: str | None = None
    """A law that it is at certain values of its further parameters: where the runs don't identify those it
    does not compete with that law."""
    has_optimum: bool = True
    """Whether the loss at fixed compute can have a minimum inside the range of N."""
    competes: bool = True
    """Whether it takes part where laws compete and none is named."""
    envelope: bool = False
    """It describes the best loss at each compute: only runs on the envelope enter its fit."""
    exponents: Callable[[Array], tuple[Array, Array]] | None = None
    """`exponents(params_P) -> (a, b)` with N_opt ~ C^a, D_opt ~ C^b under C = 6ND, if in closed form."""
    allocate: Callable[[Array, Array], Array] | None = None
    """`allocate(params_P, C) -> N_opt` under C = 6ND, if in closed form; numeric otherwise."""
    flops_per_token: Callable[..., Array] | None = None
    """`flops_per_token(N, *covariates)`: training FLOPs where they are not 6 N: N counts experts that a token
    does not visit, or an operation's price depends on its precision."""
    mirror: Callable[[Array, float, float], Array] | None = None
    """`mirror(params_P, c, k)`: other parameters with the same loss along log D = c + k log N, if any.
    The fit visits them, since a design on such a line cannot tell the two apart."""
    constraint: Constraint | None = None
    """Which law it is with parameters fixed or tied; None for any other."""

    @property
    def grouped(self) -> bool:
        """Whether it is several laws in one, each for a group of runs: no single surface L(N, D)."""
        return any(covariate.groups for covariate in self.covariates)

    @property
    def allocates(self) -> bool:
        """Whether a budget has a best N and D under it: it is a surface of the loss."""
        return self.target == "loss" and not self.envelope and self.has_optimum

    def check_inputs(self, given: Mapping[str, float]) -> None:
        """Raises `UserError` for values of further inputs, by symbol, that it has not or cannot have."""
        inputs = {covariate.symbol: covariate for covariate in self.covariates}
        for symbol, value in given.items():
            if symbol not in inputs:
                has = f"it has {', '.join(inputs)}" if inputs else "it has none besides N and D"
                raise UserError(
                    f"--with {symbol}{perhaps(symbol, inputs)}: {self.name} has no such input; {has}"
                )
            inputs[symbol].check(value)

    def full_name(self, published: Published) -> str:
        """What a set of its constants is called: `chinchilla:besiroglu`."""
        return f"{self.name}:{published.name}"

    def along(self, drawn: Slice, params: Array, points: int = 61) -> tuple[Array, Array]:
        """The values of the input that a slice moves, spread by logarithms, and the law there."""
        x = np.geomspace(drawn.low, drawn.high, points)
        given = {symbol: np.full(points, value) for symbol, value in drawn.at} | {drawn.x: x}
        N = given.get("N", np.full(points, 1e9))
        D = given.get("D", given["C"] / (6 * N) if "C" in given else np.full(points, 2e10))
        C = given.get("C", 6 * N * D)
        extra = [given.get(c.symbol, c.default(N, D, C)) for c in self.covariates]
        return x, np.asarray(self.predict(np.asarray(params), N, D, *extra), dtype=float)

    def fill(self, N: Array, D: Array, C: Array, given: tuple[Array, ...] = ()) -> tuple[Array, ...]:
        """Values of the covariates: those given, and the defaults of the others."""
        rest = self.covariates[len(given) :]
        return (*given, *(covariate.default(N, D, C) for covariate in rest))


def array_namespace(x: Array) -> ModuleType:
    """numpy or `jax.numpy`, whichever `x` is of: a law written in it is traced by JAX where it is fitted, and
    needs none where a formula is evaluated.
    """
    return x.__array_namespace__() if hasattr(x, "__array_namespace__") else np
