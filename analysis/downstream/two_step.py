"""The two-step law: a loss from N and D, then a task's accuracy from that loss.

Gadre et al. (2024) with `gadre_error` as the second step, Bhagia et al. (2024) with `bhagia`, Chen et al.
(2024) with `flp`, whose threshold is where a task emerges. Each step is a fit with draws of its own: the
interval pairs them, so that both steps' uncertainty is in it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from isoflop.analysis.columns.metrics import LOSS
from isoflop.analysis.comparison.same_text import same_tokens
from isoflop.analysis.laws import find_law
from isoflop.analysis.result import LawFit
from isoflop.analysis.uncertainty.intervals import Interval, span_with
from isoflop.base.display import Displayed, Summary
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief, interval
from isoflop.base.json_values import Serializable

THRESHOLD = "L*"
"""The parameter of `flp` that is the loss at which a task emerges."""
MOST_DRAWS = 200
FARTHEST, SEARCHED, POINTS = 1e8, (1e6, 1e34), 600
"""Budgets searched: a factor beyond the fitted ones, the least and the greatest of all in FLOPs, how many."""


@dataclass(frozen=True, repr=False)
class TaskForecast(Displayed, Serializable):
    """What the compute-optimal model of a budget scores on a task."""

    flops: float
    n_params: float
    n_tokens: float
    loss: float
    loss_interval: Interval | None
    target: str
    """`accuracy`, `error` and the like: what the second step predicts."""
    value: float
    value_interval: Interval | None
    level: float | None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What to know of published constants."""

    def summary(self) -> Summary:
        """The loss and the score."""
        rows = [
            (LOSS, brief(self.loss), interval(self.loss_interval)),
            (self.target, brief(self.value), interval(self.value_interval)),
        ]
        at = f"at {brief(self.flops)} FLOPs, N {brief(self.n_params)}, D {brief(self.n_tokens)}"
        headers = ("", "value", f"{self.level:.0%}" if self.level else "")
        return Summary(f"{at}:", headers, rows, (*self.warnings, *self.notes))


@dataclass(frozen=True)
class TwoStep:
    """A fit of the loss and a fit of a task's score on that loss, in the same unit and on the same text."""

    loss: LawFit
    score: LawFit

    def __post_init__(self) -> None:
        """Raises `UserError` for a first step that allocates no budget, a second that takes no loss, and for
        two losses that are known to be unlike.
        """
        if self.loss.law is None or not find_law(self.loss.law).allocates:
            raise UserError(f"the first step is a law of the loss in N and D: {self.loss.law} is none")
        law = None if self.score.law is None else find_law(self.score.law)
        if law is None or [covariate.column for covariate in law.covariates] != [LOSS]:
            raise UserError(
                f"the second step is a law of a score in the loss alone, such as bhagia, flp or gadre_error: "
                f"{self.score.law} is none"
            )
        _ = self.doubts

    @functools.cached_property
    def doubts(self) -> tuple[str, ...]:
        """Warnings on whether the second step takes the loss that the first predicts.

        Raises `UserError` where their units or texts differ.
        """
        first, second = self.loss.conventions, self.score.conventions
        units = first.loss_unit, second.input_loss_unit
        if None not in units and units[0] != units[1]:
            raise UserError(
                f"the first step predicts a loss in {units[0]}, and the second takes one in {units[1]}: fit "
                "both to the same column"
            )
        tables = [fit.provenance.table if fit.provenance else None for fit in (self.loss, self.score)]
        if tables[0] and tables[1]:
            if tables[0].sha256 is None or tables[0].sha256 != tables[1].sha256:
                return same_tokens(self.loss, self.score, first.unit)
            columns = first.columns.get("loss", "loss"), second.input_loss or "loss"
            if columns[0] != columns[1]:
                raise UserError(
                    f"the first step predicts the table's {columns[0]!r}, and the second takes its "
                    f"{columns[1]!r}: fit both to one, with --columns loss={columns[0]}"
                )
            return ()
        texts = [each.data or "a text not named" for each in (first, second)]
        if texts[0] == texts[1]:
            return ()
        return (f"the losses may not be the same: of {texts[0]}, and of {texts[1]}",)

    def _beyond(self, loss: float) -> tuple[str, ...]:
        """A warning on a loss beyond those that the second step was fitted on."""
        low, high = self.score.conventions.input_loss_range or (-np.inf, np.inf)
        if low <= loss <= high:
            return ()
        return (
            f"a loss of {brief(loss)} lies beyond those of the second step's runs, {brief(low)} to "
            f"{brief(high)}: the {self.target} assumes that its law holds there",
        )

    @property
    def target(self) -> str:
        """What the second step predicts."""
        return find_law(self.score.law or "").target

    @property
    def has_threshold(self) -> bool:
        """Whether the second step says at which loss the task emerges."""
        return THRESHOLD in find_law(self.score.law or "").parameters

    @property
    def level(self) -> float | None:
        """The level of the intervals; None where a step has no draws."""
        spans = self.loss.intervals, self.score.intervals
        return spans[0].level if spans[0] and spans[1] else None

    def losses(self, C_K: np.ndarray) -> np.ndarray:
        """The compute-optimal loss at K budgets: by the fit in the first row, by its draws in the others."""
        params_BxP = np.concatenate([self.loss.params_P[None], self.loss.draws_BxP[: self._draws]])
        N_BxK = self.loss.optimum(C_K, params_BxP)
        D_BxK = C_K / self.loss.cost(N_BxK)
        rows = zip(params_BxP, N_BxK, D_BxK, strict=True)
        return np.stack([self.loss.losses(*row) for row in rows])

    def scores(self, C_K: np.ndarray) -> np.ndarray:
        """The score of the compute-optimal model, (1 + draws)xK."""
        return self._scored(self.losses(np.asarray(C_K, dtype=float)))

    def predict(
        self, flops: float | None = None, *, n_params: float | None = None, tokens: float | None = None
    ) -> TaskForecast:
        """What the best model of a budget scores, or a run of `n_params` and `tokens`.

        Raises `UserError` for what is not the one or the other, and for numbers that are not positive.
        """
        given = {"flops": flops, "n_params": n_params, "tokens": tokens}
        for name, value in given.items():
            if value is not None and not (np.isfinite(value) and value > 0):
                raise UserError(f"{name} {value:g}: must be a positive number")
        if n_params is not None and tokens is not None and flops is None:
            N, D = n_params, tokens
        elif flops is not None and n_params is None and tokens is None:
            N, D = map(float, self.loss.allocate(float(flops)))
        else:
            raise UserError("give flops, for the best split of them, or n_params and tokens, for a run")
        params_BxP = np.concatenate([self.loss.params_P[None], self.loss.draws_BxP[: self._draws]])
        # The best split is the fit's own: what the draws would choose in its place is another model.
        loss_B = self.loss.losses(params_BxP, N, D).reshape(len(params_BxP))
        value_B = self._scored(loss_B[:, None])[:, 0]
        return TaskForecast(
            flops=float(self.loss.cost(np.array(N)) * D) if flops is None else float(flops),
            n_params=float(N),
            n_tokens=float(D),
            loss=float(loss_B[0]),
            loss_interval=self._span(loss_B),
            target=self.target,
            value=float(value_B[0]),
            value_interval=self._span(value_B),
            level=self.level,
            warnings=tuple(
                dict.fromkeys(
                    (*self.doubts, *self._beyond(float(loss_B[0])), *self.loss.warnings, *self.score.warnings)
                )
            ),
            notes=tuple(dict.fromkeys((*self.loss.notes, *self.score.notes))),
        )

    def emergence(self) -> tuple[float, Interval | None]:
        """FLOPs at which the compute-optimal loss falls to the threshold L* of `flp`, and their interval.

        NaN where it never does. Raises `UserError` where the second step has no threshold.
        """
        if not self.has_threshold:
            raise UserError(f"{self.score.law} has no threshold: fit the second step with --law flp")
        C_K = self.budgets()
        at = find_law(self.score.law or "").parameters.index(THRESHOLD)
        threshold_B = [self.score.params_P[at], *self.score.draws_BxP[: self._draws, at]]
        found_B = np.array(
            [first_budget(C_K, -loss_K, -x) for loss_K, x in zip(self.losses(C_K), threshold_B, strict=True)]
        )
        return float(found_B[0]), self._span(found_B)

    def budgets(self) -> np.ndarray:
        """Budgets that are searched: from below the fitted ones to far beyond, FLOPs."""
        low, high = self.loss.conventions.flops_range
        # Published constants without a range are good anywhere: from the smallest model to no model there is.
        low, high = np.clip([low / 100.0, high * FARTHEST], *SEARCHED)
        return np.geomspace(low, high, POINTS)

    @property
    def _draws(self) -> int:
        return min(len(self.loss.draws_BxP), len(self.score.draws_BxP), MOST_DRAWS)

    def _scored(self, loss_BxK: np.ndarray) -> np.ndarray:
        params_BxP = [self.score.params_P, *self.score.draws_BxP[: self._draws]]
        return np.stack(
            [self.score.losses(p, 1.0, 1.0, x_K) for p, x_K in zip(params_BxP, loss_BxK, strict=True)]
        )

    def _span(self, values_B: np.ndarray) -> Interval | None:
        return None if self.level is None else span_with(float(values_B[0]), values_B[1:], self.level)


def first_budget(C_K: np.ndarray, rising_K: np.ndarray, wanted: float) -> float:
    """The budget at which a quantity that rises with it reaches a value; NaN where it never does."""
    if not np.isfinite(wanted) or not wanted <= rising_K[-1]:
        return float("nan")
    # Where it saturates rounding makes steps down: the running maximum has none.
    return float(np.exp(np.interp(wanted, np.maximum.accumulate(rising_K), np.log(C_K))))
