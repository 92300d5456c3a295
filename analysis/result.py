"""`LawFit`: what a fit found, how sure it is, and what it was counted in; to JSON and back."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from isoflop.analysis.compute import PerToken, allocate
from isoflop.analysis.laws import Law, find_law
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.run_table import Excluded
from isoflop.base.display import Displayed, Summary, number, span, warning_lines
from isoflop.base.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

Interval = tuple[float | None, float | None]

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
    value: float


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
    draws: tuple[tuple[float, ...], ...] = ()
    """Some of the resampled parameter vectors, in the order of `params`, for intervals on predictions."""


@dataclass(frozen=True)
class Certificate:
    """Evidence that the numbers are the optimum of the objective, whatever the data can tell.

    `gradient_norm`: Euclidean, of the objective in the law's unconstrained, centred parameters.
    `starts_at_optimum`: how many of `starts` ended within 1e-6 (relative) of the best objective.
    `condition_number`: of the weighted Jacobian's cross product there, columns scaled to unit length.
    """

    status: str
    gradient_norm: float
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


@dataclass(frozen=True)
class Misfit:
    """A lack-of-fit test of the fitted law: `isoflop.analysis.uncertainty.misfit`."""

    p_value: float
    """Probability of residuals as far from chance as these, if the law is right."""
    statistic: float
    """F."""
    degrees_of_freedom: tuple[int, int]
    """Of the numerator and of the denominator of F."""
    outliers: int
    """Runs set aside."""
    method: str

    @property
    def rejected(self) -> bool:
        """The law misses the runs beyond chance."""
        return self.p_value < DOUBTFUL

    def doubt(self, law: str) -> str:
        """A sentence for a rejected law."""
        return (
            f"{law} misses these runs beyond chance ({probability(self.p_value)}): its intervals are too "
            "narrow and its extrapolation is doubtful; compare laws with isoflop fit --compete"
        )


@dataclass(frozen=True)
class Budget:
    """One IsoFLOP curve (approach 2) or one point of the envelope (approach 1).

    `flops`: FLOPs; `n_opt`: parameters, `d_opt`: tokens, `loss_opt`: nats per token at the minimum, None
    where the runs do not bracket one; `runs`: how many made the curve. The fields below are approach 2's, and
    None for approach 1; logarithms are natural.
    """

    flops: float
    n_opt: float | None
    d_opt: float | None
    loss_opt: float | None
    interior: bool | None
    """The minimum lies strictly between the smallest and the largest size (approach 1: sizes on both sides
    were run at nearly this compute)."""
    convex: bool | None
    """The least-squares parabola in log N bends upwards, whichever curve gave the minimum."""
    runs: int
    n_interval: Interval | None = None
    """Bootstrap interval of `n_opt`, parameters. None at an end that the runs leave open: too many redraws
    had their minimum at or beyond that end, or none at all."""
    curve: tuple[float, float, float] | None = None
    """The parabola c0 + c1 x + c2 x^2, nats, in x = log N."""
    n_log_sd: float | None = None
    """Standard deviation of log n_opt over the redraws that have a minimum within the runs, times one over
    their share (Porian et al. 2024, `n_star_std`); None where under half have one."""
    centring: float | None = None
    """Where the parabola's vertex lies in the runs' range of log N: 0 in the middle, -1 and 1 at the smallest
    and the largest size, further outside. None without a vertex."""
    width: float | None = None
    """log of the largest over the smallest size."""
    half_width: float | None = None
    """How far log N may move from the vertex before the parabola rises by 0.01 nats per token."""
    bias: float | None = None
    """What the same curve makes of the fitted surface L(N, D) at these N and D, without noise: log N at its
    minimum less log N_opt of the surface. None where no surface could be fitted, or the curve misses."""
    bias_percent: float | None = None
    """The same in percent of N."""


@dataclass(frozen=True, repr=False)
class LawFit(Displayed):
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
    holdout: dict[str, Any] | None
    n_runs: int
    excluded: tuple[Excluded, ...]
    conventions: dict[str, Any]
    warnings: tuple[str, ...]
    misfit: Misfit | None = None
    """Whether the law follows the runs (approach 3); None where no run is left to judge by."""
    next_runs: tuple[dict[str, Any], ...] = ()
    """Where something is not identified: the runs that would tell most, best first."""
    profiles: dict[str, Any] | None = None
    """Profile of every parameter and derived quantity, where intervals come from them."""
    coverage: dict[str, Any] | None = None
    """How often intervals made in this way hold the truth, in simulations on this table's own design."""
    competition: dict[str, Any] | None = None
    """Every law fitted below a budget and scored above it: `isoflop.analysis.comparison.competition`."""
    provenance: dict[str, Any] | None = None
    """What made this fit (versions, commit, machine, time), and of which `table`; None in old files."""

    def to_frame(self) -> pd.DataFrame:
        """Parameters and exponents by name: `value`, `low` and `high` of the interval, `identified`."""
        import pandas as pd

        rows = {}
        for group in ("params", "exponents"):
            spans = {} if self.intervals is None else getattr(self.intervals, group)
            for name, value in getattr(self, group).items():
                low, high = spans.get(name) or (None, None)
                verdict = self.identified.get(name)
                rows[name] = {"value": value, "low": low, "high": high, "identified": verdict}
        return pd.DataFrame.from_dict(rows, orient="index")

    def budgets_frame(self) -> pd.DataFrame:
        """The budgets of approach 1 or 2, a row each, by the names of `Budget`."""
        import pandas as pd

        names = [field.name for field in dataclasses.fields(Budget)]
        return pd.DataFrame([dataclasses.asdict(b) for b in self.budgets or ()], columns=pd.Index(names))

    def summary(self) -> Summary:
        """Parameters, intervals and verdicts."""
        of = f" of {self.provenance['table']['source']}" if self.provenance else ""
        law = f", {self.law}" if self.law else ""
        status = f", {self.certificate.status.replace('_', ' ')}" if self.certificate else ""
        frame = self.to_frame().astype(object)
        rows = [
            (
                str(name),
                number(row["value"]),
                span((row["low"], row["high"])),
                "not identified" if row["identified"] is False else "",
            )
            for name, row in frame.where(frame.notna(), None).iterrows()
        ]
        level = f"{self.intervals.level:.0%} interval" if self.intervals else "no interval"
        return Summary(
            f"LawFit: approach {self.approach}{law}, {self.n_runs} runs{of}{status}",
            ("", "value", level, ""),
            rows,
            warning_lines(self.warnings),
        )

    @property
    def trusted(self) -> bool:
        """Certified (where that applies) and every parameter identified."""
        certified = self.certificate is None or self.certificate.status == "certified"
        return certified and all(self.identified.values())

    @property
    def cost(self) -> PerToken:
        """Training FLOPs per token, by the fit's own convention."""
        return PerToken.from_json(self.conventions["flops_per_token"])

    def predict(self, N: Any, D: Any, *covariates: Any) -> np.ndarray:
        """Loss in nats per token at N parameters and D tokens (broadcast). Approach 3 only.

        `covariates`: what the law needs besides, in its order; a default stands for each that is left out.
        """
        return self.losses(self.params_P, N, D, *covariates)

    def losses(self, params: np.ndarray, N: Any, D: Any, *covariates: Any) -> np.ndarray:
        """`predict` at other parameters: one vector, or one row a draw (the result's first dimension)."""
        if self.law is None:
            raise UserError(f"approach {self.approach} fits no surface L(N, D): use --approach 3")
        law = find_law(self.law)
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
            return optimal_size(find_law(self.law), params, C_K, self.cost)
        coefficient, exponent = np.asarray(params).T[:2, ..., None]
        return coefficient * np.asarray(C_K) ** exponent

    @property
    def params_P(self) -> np.ndarray:
        """The parameter vector, in the law's order."""
        return np.array([np.nan if value is None else value for value in self.params.values()], dtype=float)

    @property
    def draws_BxP(self) -> np.ndarray:
        """Kept bootstrap draws of the parameters, Bx(number of params); empty without a bootstrap."""
        draws = () if self.intervals is None else self.intervals.draws
        return np.array(draws, dtype=float).reshape(len(draws), len(self.params))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values: NaN and infinity become null."""
        return _plain(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LawFit:
        """The inverse of `to_json`. Raises `UserError` for an object that is no fit."""
        try:
            return _restore(data)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(
                f"not a fit as `isoflop fit --json` prints it: {type(error).__name__} {error}"
            ) from error


def probability(p_value: float) -> str:
    """A p-value in words: one digit, and none below what a table could show."""
    return "p < 1e-10" if p_value < 1e-10 else f"p = {p_value:.1g}"


def optimal_size(law: Law, params: np.ndarray, C_K: np.ndarray, cost: PerToken) -> np.ndarray:
    """N_opt at K budgets, FLOPs, for one parameter vector (shape K) or for B of them (BxK)."""
    C_K = np.asarray(C_K, dtype=float)
    with np.errstate(all="ignore"):
        if cost.six_n and law.allocate is not None:
            return np.asarray(law.allocate(np.asarray(params).T[..., None], C_K), dtype=float)
        return allocate(lambda N, D: evaluate(law, params, N, D, *law.fill(N, D, cost(N) * D)), C_K, cost)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value


def _restore(data: dict[str, Any]) -> LawFit:
    def optional(kind: Any, value: dict[str, Any] | None, **changes: Any) -> Any:
        return None if value is None else kind(**{**value, **changes})

    spans = data["intervals"]
    changed: dict[str, Any] = {}
    if spans is not None:
        changed = {group: {k: tuple(v) for k, v in spans[group].items()} for group in ("params", "exponents")}
        changed["draws"] = tuple(
            tuple(float("nan") if x is None else x for x in draw) for draw in spans.get("draws", ())
        )
    pairs = ("n_interval", "curve")
    budgets = data["budgets"]
    judged = data.get("misfit")
    freedom = {} if judged is None else {"degrees_of_freedom": tuple(judged["degrees_of_freedom"])}
    bounds = {"bounds": tuple((data["certificate"] or {}).get("bounds", ()))}
    return LawFit(
        **{
            **data,
            "objective": optional(Objective, data["objective"]),
            "intervals": optional(Intervals, spans, **changed),
            "misfit": optional(Misfit, judged, **freedom),
            "certificate": optional(Certificate, data["certificate"], **bounds),
            "budgets": None
            if budgets is None
            else tuple(
                Budget(**{**b, **{p: tuple(b[p]) for p in pairs if b.get(p) is not None}}) for b in budgets
            ),
            "excluded": tuple(Excluded(**item) for item in data["excluded"]),
            "warnings": tuple(data["warnings"]),
            "next_runs": tuple(data.get("next_runs", ())),
        }
    )
