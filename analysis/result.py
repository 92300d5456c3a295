"""`LawFit`: what a fit found, how sure it is, and what it was counted in; to JSON and back."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from isoflop.analysis.columns.metrics import LOSS
from isoflop.analysis.compute import PerToken, allocate
from isoflop.analysis.constraints import Constraints
from isoflop.analysis.conventions import FitConventions
from isoflop.analysis.isoflops.budget import Budget
from isoflop.analysis.laws import Law, find_law
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.provenance import FitProvenance
from isoflop.analysis.rolling_scores import Rolling
from isoflop.analysis.run_table import Excluded
from isoflop.analysis.scores import Competition, Holdout
from isoflop.analysis.uncertainty.intervals import Interval
from isoflop.analysis.uncertainty.law_forms import LawForms
from isoflop.analysis.uncertainty.run_noise import ResidualNoise, RunNoise
from isoflop.base.display import Displayed, Summary, warning_lines
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief, interval
from isoflop.base.json_values import FloatOrNaN, Serializable, from_json

if TYPE_CHECKING:
    import pandas as pd

OTHER_STARTS = {"bound": "at a bound", "local_optimum": "in a worse optimum", "unfinished": "unfinished"}
DOUBTFUL = 0.01
"""Probability of a misfit by chance below which a law is rejected."""


@dataclass(frozen=True)
class Objective:
    """What was minimized: `value` is the sum over runs of the Huber loss, or of squared residuals for
    `mse`.
    """

    loss: str
    space: str
    delta: float | None
    reduction: str
    value: FloatOrNaN
    overestimate_weight: float = 1.0
    """What the part of a run below the law was multiplied by."""


@dataclass(frozen=True)
class Intervals:
    """Percentile intervals of the bootstrap, or intervals from profiles."""

    level: float
    method: str
    B: int
    resampling: str
    """What was resampled: runs, budgets, shared trunks, or residuals with a trunk effect."""
    params: dict[str, Interval]
    exponents: dict[str, Interval]
    draws: tuple[tuple[FloatOrNaN, ...], ...] = ()
    """Some of the resampled parameter vectors, in the order of `params`, for intervals on predictions."""


@dataclass(frozen=True)
class Estimate:
    """A parameter or an exponent of a fit. `identified`: None for what is not judged by itself."""

    value: float | None
    interval: Interval
    """(None, None) without one."""
    identified: bool | None


@dataclass(frozen=True)
class Certificate:
    """Evidence that the numbers are the optimum of the objective, whether or not the data determine it.

    `gradient_norm`: Euclidean, of the objective in the law's unconstrained, centred parameters.
    `starts_at_optimum`: how many of `starts` ended within 1e-6 (relative) of the best objective.
    `condition_number`: of the weighted Jacobian's cross product there, columns scaled to unit length.
    """

    status: str
    gradient_norm: FloatOrNaN
    starts: int
    starts_at_optimum: int
    condition_number: float | None
    bounds: tuple[str, ...] = ()
    """Parameters that ended at a bound: zero for an amplitude."""
    others: dict[str, int] = field(default_factory=dict)
    """What became of the starts that missed the optimum: how many ended at a `bound`, in a `local_optimum`,
    `unfinished`."""
    why: str | None = None
    """What keeps a fit from being certified."""

    @property
    def verdict(self) -> str:
        """The status in words."""
        return self.status.replace("_", " ")

    @property
    def other_starts(self) -> str:
        """What became of the starts that missed the optimum, in words; empty where none did."""
        return ", ".join(
            f"{count} {OTHER_STARTS.get(key, key)}" for key, count in self.others.items() if count
        )


@dataclass(frozen=True)
class Misfit:
    """A lack-of-fit test of the fitted law: `isoflop.analysis.uncertainty.misfit`."""

    p_value: FloatOrNaN
    """Probability of residuals as far from chance as these, if the law is right."""
    statistic: FloatOrNaN
    """F."""
    degrees_of_freedom: tuple[int, int]
    """F's numerator and denominator have these."""
    outliers: int
    """Runs set aside."""
    method: str

    @property
    def rejected(self) -> bool:
        """The law misses the runs beyond chance."""
        return self.p_value < DOUBTFUL

    @property
    def probability(self) -> str:
        """The p-value in one digit, and none below what a table could show."""
        return "p < 1e-10" if self.p_value < 1e-10 else f"p = {self.p_value:.1g}"

    @property
    def verdict(self) -> str:
        """What the test makes of the law, a clause."""
        return f"the law misses the runs {'beyond' if self.rejected else 'by no more than'} chance"

    @property
    def set_aside(self) -> str:
        """How many runs are set aside, in words; empty for none."""
        return f"{self.outliers} outlier{'s' if self.outliers > 1 else ''} set aside" if self.outliers else ""

    def rejection(self, law: str) -> str:
        """The clause on a rejected law."""
        return f"{law} misses these runs beyond chance ({self.probability})"

    def doubt(self, law: str) -> str:
        """A sentence on a rejected law: what follows from it, and what to do."""
        return (
            f"{self.rejection(law)}: its intervals are too narrow and its extrapolation is doubtful; compare "
            "laws with isoflop fit --compete"
        )


@dataclass(frozen=True)
class Profile:
    """How the objective rises as one quantity is held away from its estimate."""

    estimate: FloatOrNaN
    interval: Interval
    """Where the rise crosses the threshold; None at an end where it does not: flat as far as followed."""
    threshold: FloatOrNaN
    values: tuple[FloatOrNaN, ...]
    """The quantity's, ascending; `rises`: the objective above its minimum at each of them."""
    rises: tuple[FloatOrNaN, ...]


@dataclass(frozen=True)
class Profiles:
    """Profiles of parameters, exponents and the optimum at `flops`, by name.

    The thresholds are what the truth stays within at `level`, by `simulations` tables of this `noise` that
    were drawn from the fit.
    """

    level: float
    flops: float
    simulations: int
    noise: str
    quantities: dict[str, Profile]


@dataclass(frozen=True)
class Coverage:
    """How often intervals made in this way hold the truth, in tables simulated from the fit.

    `params`, `exponents` and `derived` (N_opt and the loss there at `flops`): by name, the share of
    simulations whose interval holds the truth. `standard_error`: of a share that is as it should be, `level`.
    """

    simulations: int
    level: float
    method: str
    resamples: int
    noise: str
    standard_error: float
    flops: float
    params: dict[str, FloatOrNaN]
    exponents: dict[str, float | None]
    derived: dict[str, float | None]


@dataclass(frozen=True, repr=False)
class LawFit(Displayed, Serializable):
    """A fitted law. `to_json` is the object that `isoflop fit --json` prints."""

    approach: int
    law: str | None
    params: dict[str, float | None]
    exponents: dict[str, float | None]
    objective: Objective | None
    intervals: Intervals | None
    certificate: Certificate | None
    identified: dict[str, bool]
    budgets: tuple[Budget, ...] | None
    holdout: Holdout | None
    n_runs: int
    excluded: tuple[Excluded, ...]
    conventions: FitConventions
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What to know of published constants."""
    misfit: Misfit | None = None
    """Whether the law follows the runs (approach 3); None where no run is left to judge by."""
    next_runs: tuple[dict[str, FloatOrNaN], ...] = ()
    """Where something is not identified: the runs that would identify it best, best first."""
    profiles: Profiles | None = None
    """Profile of every parameter and derived quantity, where intervals come from them."""
    coverage: Coverage | None = None
    competition: Competition | None = None
    """Every law fitted below a budget and scored above it: `isoflop.analysis.comparison.competition`."""
    constraints: Constraints | None = None
    """What was fixed, tied or shared by groups; None where nothing was."""
    provenance: FitProvenance | None = None
    """What made this fit, and of which table; None in old files."""
    noise: RunNoise | None = None
    """Noise of a run, from cells with several seeds; None where no cell has."""
    residual_noise: ResidualNoise | None = None
    """Spread of the runs about the law, of approach 3."""
    forms: LawForms | None = None
    """Other laws fitted to the same runs, where asked for: a predictive interval mixes them."""
    rolling: Rolling | None = None
    """The law fitted below a growing cut and scored above: `isoflop.analysis.comparison.rolling`."""

    @property
    def parameter_estimates(self) -> dict[str, Estimate]:
        """The parameters with intervals and verdicts, by name."""
        return self._estimates(self.params, self.intervals.params if self.intervals else {})

    @property
    def exponent_estimates(self) -> dict[str, Estimate]:
        """The exponents with intervals and verdicts, by name; none of a law that predicts no loss."""
        if self.conventions.target != LOSS:
            return {}
        return self._estimates(self.exponents, self.intervals.exponents if self.intervals else {})

    def _estimates(self, values: dict[str, float | None], spans: dict[str, Interval]) -> dict[str, Estimate]:
        return {
            name: Estimate(value, spans.get(name) or (None, None), self.identified.get(name))
            for name, value in values.items()
        }

    @property
    def unidentified(self) -> tuple[str, ...]:
        """What the runs do not determine."""
        return tuple(name for name, known in self.identified.items() if not known)

    def to_frame(self) -> pd.DataFrame:
        """Parameters and exponents by name: `value`, `low` and `high` of the interval, `identified`."""
        import pandas as pd

        rows = {
            name: (each.value, *each.interval, each.identified)
            for name, each in (self.parameter_estimates | self.exponent_estimates).items()
        }
        columns = ["value", "low", "high", "identified"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

    def budgets_frame(self) -> pd.DataFrame:
        """The budgets of approach 1 or 2, a row each, by the names of `Budget`."""
        import pandas as pd

        names = [field.name for field in dataclasses.fields(Budget)]
        return pd.DataFrame([dataclasses.asdict(b) for b in self.budgets or ()], columns=pd.Index(names))

    def summary(self) -> Summary:
        """Parameters, intervals and verdicts."""
        of = f" of {self.provenance.table.source}" if self.provenance else ""
        law = f", {self.law}" if self.law else ""
        status = f", {self.certificate.verdict}" if self.certificate else ""
        estimates = (*self.parameter_estimates.items(), *self.exponent_estimates.items())
        rows = [
            (
                name,
                brief(each.value),
                interval(each.interval),
                "not identified" if each.identified is False else "",
            )
            for name, each in estimates
        ]
        level = f"{self.intervals.level:.0%} interval" if self.intervals else "no interval"
        return Summary(
            f"LawFit: approach {self.approach}{law}, {self.n_runs} runs{of}{status}",
            ("", "value", level, ""),
            rows,
            warning_lines(self.warnings),
        )

    @property
    def is_published(self) -> bool:
        """Whether it is a published set of constants, with no runs behind it here."""
        return self.n_runs == 0

    @property
    def trusted(self) -> bool:
        """Certified (where that applies) and every parameter identified."""
        certified = self.certificate is None or self.certificate.status == "certified"
        return certified and not self.unidentified

    @property
    def cost(self) -> PerToken:
        """Training FLOPs per token, by the fit's own convention."""
        return self.conventions.flops_per_token

    def predict(self, N: Any, D: Any, *covariates: Any) -> np.ndarray:
        """Loss in nats per token at N parameters and D tokens (broadcast). Approach 3 only.

        `covariates`: what the law needs besides, in its order; a default stands for each that is left out.
        """
        return self.losses(self.params_P, N, D, *covariates)

    def losses(self, params: np.ndarray, N: Any, D: Any, *covariates: Any) -> np.ndarray:
        """`predict` at other parameters: one vector, or one row a draw (the result's first dimension)."""
        if self.law is None:
            raise UserError(f"approach {self.approach} fits no surface L(N, D): use --approach 3")
        law = self._surface(self.law)
        N, D = np.broadcast_arrays(np.asarray(N, dtype=float), np.asarray(D, dtype=float))
        return evaluate(law, params, N, D, *law.fill(N, D, self.cost(N) * D, covariates))

    def allocate(self, flops: Any) -> tuple[np.ndarray, np.ndarray]:
        """(N_opt, D_opt), parameters and tokens, for each training budget in FLOPs."""
        C_K = np.atleast_1d(np.asarray(flops, dtype=float))
        N_K = self.optimum(C_K, self.params_P)
        D_K = C_K / self.cost(N_K)
        return (N_K[0], D_K[0]) if np.ndim(flops) == 0 else (N_K, D_K)

    def optimum(self, C_K: np.ndarray, params: np.ndarray) -> np.ndarray:
        """N_opt at K budgets for one parameter vector (K) or a row a draw (BxK)."""
        if self.law is not None:
            return optimal_size(self._surface(self.law), params, C_K, self.cost)
        coefficient, exponent = np.asarray(params).T[:2, ..., None]
        with np.errstate(over="ignore", invalid="ignore"):  # a wild resample's slope has no size at all
            return coefficient * np.asarray(C_K) ** exponent

    def _surface(self, law: str) -> Law:
        """The law. Raises `UserError` where there is one for each group."""
        if self.constraints and self.constraints.groups:
            names = ", ".join(group.name for group in self.constraints.groups)
            raise UserError(f"the fit has a law for each group: choose one with --group: {names}")
        return find_law(law)

    def group(self, name: str) -> LawFit:
        """The law of one group of a fit with shared parameters. Raises `UserError` for an unknown one."""
        if self.constraints is None:
            raise UserError(f"--group {name}: the fit has no groups; it is one law for all its runs")
        found, law, spans = self.constraints.group(name), find_law(self.law or ""), self.intervals
        own = [f"{each}[{name}]" for each in law.parameters]
        at = [[*self.params].index(o if o in self.params else o.partition("[")[0]) for o in own]
        if spans is not None:
            spans = dataclasses.replace(
                spans,
                params=found.of(spans.params),
                exponents=found.of(spans.exponents),
                draws=tuple(tuple(draw[k] for k in at) for draw in spans.draws),
            )
        return dataclasses.replace(
            self,
            params=dict(zip(law.parameters, ([*self.params.values()][k] for k in at), strict=True)),
            exponents=found.of(self.exponents),
            intervals=spans,
            identified=found.of(self.identified),
            n_runs=found.n_runs,
            conventions=dataclasses.replace(self.conventions, **found.ranges),
            constraints=None,
        )

    @property
    def params_P(self) -> np.ndarray:
        """The parameter vector, in the law's order."""
        return np.array([np.nan if value is None else value for value in self.params.values()], dtype=float)

    @property
    def draws_BxP(self) -> np.ndarray:
        """Kept bootstrap draws of the parameters, Bx(number of params); empty without a bootstrap."""
        draws = () if self.intervals is None else self.intervals.draws
        return np.array(draws, dtype=float).reshape(len(draws), len(self.params))

    @classmethod
    def from_json(cls, value: Any) -> LawFit:
        """The inverse of `to_json`. Raises `UserError` for an object that is no fit."""
        try:
            return from_json(cls, value)
        except UserError as error:
            raise UserError(f"not a fit as `isoflop fit --json` prints it: {error}") from error


def optimal_size(law: Law, params: np.ndarray, C_K: np.ndarray, cost: PerToken) -> np.ndarray:
    """N_opt at K budgets, FLOPs, for one parameter vector (shape K) or for B of them (BxK)."""
    C_K = np.asarray(C_K, dtype=float)
    with np.errstate(all="ignore"):
        if cost.six_n and law.allocate is not None:
            return np.asarray(law.allocate(np.asarray(params).T[..., None], C_K), dtype=float)
        return allocate(lambda N, D: evaluate(law, params, N, D, *law.fill(N, D, cost(N) * D)), C_K, cost)
