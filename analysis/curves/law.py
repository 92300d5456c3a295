"""What a law of loss curves has to say about itself to be fitted, judged and extrapolated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from isoflop.analysis.laws.law import Array, Published


@dataclass(frozen=True)
class FittedRange:
    """What the fitted curves cover: a schedule beyond it is extrapolated to."""

    steps: int
    """Of the longest curve, as are `peak`, its largest rate, and `warmup_steps`."""
    peak: float
    warmup_steps: int
    area: float
    """Largest summed rate."""
    lowest_rate: float
    """After the warm-up."""


@dataclass(frozen=True)
class PublishedCurves(Published):
    """One set of a curve law's constants."""

    fitted: FittedRange | None = None


@dataclass(frozen=True)
class CurveLaw:
    """A parametric form of the loss along one run, given the learning rate of each of its steps.

    The fit moves `theta`, a vector of the same length as `parameters`. `s0` is the geometric mean of the
    summed rate over the rows that are fitted, `eta0` the largest rate: a law that writes its amplitudes
    there, instead of where those are 1, makes the fit well conditioned, whatever the optimizer's rates.
    """

    name: str
    parameters: tuple[str, ...]
    """Names of the P natural parameters, in the order of every parameter vector."""
    equation: str
    """The form in plain text, for people."""
    source: str
    """Paper, section and equation."""
    features: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]]
    """`features(rates_T, steps_R)`: all that the law needs to know of the schedule at R steps, whatever its
    parameters; arrays whose first dimension is R. `rates_T`: the learning rate of steps 0 to T - 1."""
    predict: Callable[..., Array]
    """`predict(params_P, *features) -> loss_R`, in the curves' unit; traceable by JAX."""
    start_box: tuple[tuple[float, float], ...]
    """P intervals of theta that starting points are spread over."""
    encode: Callable[[Array, float, float], Array] | None = None
    """`encode(params_P, s0, eta0) -> theta_P`; None: the logs of the parameters, which are then positive."""
    decode: Callable[[Array, Any, Any], Array] | None = None
    """`decode(theta_P, s0, eta0) -> params_P`, the inverse of `encode`; traceable by JAX."""
    bounds: tuple[tuple[float, float], ...] = ()
    """P intervals that theta stays in; empty: unbounded."""
    linear: tuple[int, ...] = ()
    """Indices of nonnegative amplitudes that `predict` is linear in: a starting point's are fixed by linear
    least squares."""
    summary: str = ""
    """What it describes, in one line."""
    conventions: str = ""
    """What the steps, rates and losses of the source are."""
    needs: str = ""
    """What curves identify its parameters."""
    blind_to: str = ""
    """What it cannot see or say."""
    published: tuple[PublishedCurves, ...] = ()
    """Sets of constants that predict without curves."""
    family: str = "schedules"
    """One of `isoflop.analysis.laws.law.FAMILIES`."""
