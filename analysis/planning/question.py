"""What a plan is asked for, and the N, D, compute and loss that answer it, by a fit and its draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from isoflop.analysis.planning.magnitude import Given, check_magnitudes
from isoflop.analysis.result import LawFit
from isoflop.analysis.uncertainty.intervals import Interval, span_with
from isoflop.base.errors import UserError

OPTIONS: dict[Given, str] = {
    "flops": "--flops",
    "loss": "--loss",
    "n_params": "--n-params",
    "tokens": "--tokens",
}
EXAMPLES: dict[Given, str] = {
    "flops": "of FLOPs, such as 1e18",
    "loss": "in the fit's unit, such as 2.5",
    "n_params": "of parameters, such as 7e9",
    "tokens": "of tokens, such as 1.4e12",
}
DECADES = (3.0, 33.0)
"""Powers of ten of the budgets among which one is sought, FLOPs."""
STEP = 0.1
"""Decades between them."""
MOST_PARAMETERS, MOST_TOKENS = 1e15, 1e18
"""Of a run that is sought."""
REACH = 1.5
"""How many decades from the fit's answer a draw's is sought."""


@dataclass(frozen=True)
class Question:
    """What is given: one quantity, and the compute-optimal run is asked for; or two, and the run is theirs.

    `flops`: training FLOPs; `loss`: in the fit's unit; `n_params`: parameters; `tokens`: training tokens.
    """

    flops: float | None = None
    loss: float | None = None
    n_params: float | None = None
    tokens: float | None = None

    def __post_init__(self) -> None:
        """Raises `UserError` for a value that is no positive number, and for too few, too many or
        contradictory ones.
        """
        check_positive(self.given)
        names = [OPTIONS[name] for name in self.given]
        if not names:
            raise UserError(f"nothing asked: give one of {', '.join(OPTIONS.values())}, or two of them")
        if len(names) > 2:
            raise UserError(f"{', '.join(names)} together: two of them determine the run; leave one out")
        if set(names) == {"--flops", "--loss"}:
            raise UserError(
                "--flops and --loss together: a loss above the least is met by a small model and a large "
                "one; give --n-params or --tokens with one of them"
            )

    @property
    def given(self) -> dict[Given, float]:
        """What is given, by name."""
        values: dict[Given, float | None] = {
            "flops": self.flops,
            "loss": self.loss,
            "n_params": self.n_params,
            "tokens": self.tokens,
        }
        return {name: value for name, value in values.items() if value is not None}

    @property
    def fixes_a_run(self) -> bool:
        """Whether the run is given, and nothing is left to be optimized."""
        return len(self.given) == 2


def check_positive(given: Mapping[Given, float]) -> None:
    """Raises `UserError` for a quantity that is no positive number."""
    for name, value in given.items():
        if not (np.isfinite(value) and value > 0):
            raise UserError(f"{OPTIONS[name]} {value}: give a positive number {EXAMPLES[name]}")


@dataclass(frozen=True)
class Answers:
    """Runs, one for each of B parameter vectors, the fit's own first; NaN where there is none."""

    n_B: np.ndarray
    d_B: np.ndarray
    flops_B: np.ndarray
    loss_B: np.ndarray

    def own(self, name: Literal["n", "d", "flops", "loss"]) -> float:
        """The fit's own value."""
        return float(getattr(self, f"{name}_B")[0])


def parameter_rows(fit: LawFit) -> np.ndarray:
    """The fit's parameters and those of its draws, (1 + B)xP."""
    return np.vstack([fit.params_P, fit.draws_BxP]) if len(fit.draws_BxP) else fit.params_P[None]


def interval_of(fit: LawFit, values_B: np.ndarray) -> Interval | None:
    """The interval of a quantity at the fit's level, from its own value and the draws'; None without any."""
    if fit.intervals is None or len(values_B) < 2:
        return None
    return span_with(float(values_B[0]), values_B[1:], fit.intervals.level)


def answer(fit: LawFit, question: Question) -> Answers:
    """The run that answers the question, under the fit and each of its draws.

    Raises `UserError` where the fit's own parameters have none: a loss at or below the floor, a budget
    without an interior optimum, and for a question that needs a surface L(N, D) of a fit that has none.
    """
    check_magnitudes(fit, question.given)
    rows_BxP = parameter_rows(fit)
    found = _fixed(fit, question, rows_BxP) if question.fixes_a_run else _optimal(fit, question, rows_BxP)
    if not (np.isfinite(found.own("n")) and np.isfinite(found.own("d"))):
        raise UserError(_no_answer(fit, question))
    return found


def optimal_losses(fit: LawFit, C_K: np.ndarray, params_BxP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """N_opt and the least loss at K budgets for B parameter vectors, each BxK."""
    n_BxK = np.atleast_2d(fit.optimum(C_K, params_BxP))
    if fit.law is None:  # approaches 1 and 2 have a loss curve E + K C^-gamma
        E, K, gamma = params_BxP.T[4:7, :, None]
        return n_BxK, E + K * C_K**-gamma
    d_BxK = C_K / fit.cost(n_BxK)
    loss = [fit.losses(p, n, d) for p, n, d in zip(params_BxP, n_BxK, d_BxK, strict=True)]
    return n_BxK, np.array(loss)


def _optimal(fit: LawFit, question: Question, rows_BxP: np.ndarray) -> Answers:
    ((name, value),) = question.given.items()
    if name == "flops":
        n_Bx1, loss_Bx1 = optimal_losses(fit, np.array([value]), rows_BxP)
        flops_B = np.full(len(rows_BxP), value)
        return Answers(n_Bx1[:, 0], value / fit.cost(n_Bx1[:, 0]), flops_B, loss_Bx1[:, 0])
    flops_B = 10.0 ** budgets_for(fit, name, value, rows_BxP)
    n_B, loss_B = np.full((2, len(rows_BxP)), np.nan)
    for b in np.flatnonzero(np.isfinite(flops_B)):
        at_1x1 = optimal_losses(fit, flops_B[b : b + 1], rows_BxP[b : b + 1])
        n_B[b], loss_B[b] = (x_1x1[0, 0] for x_1x1 in at_1x1)
    return Answers(n_B, flops_B / fit.cost(n_B), flops_B, loss_B)


def budgets_for(fit: LawFit, name: Given, value: float, rows_BxP: np.ndarray) -> np.ndarray:
    """log10 of the budget, FLOPs, at which the optimum has a quantity's value, for each row; NaN for none."""
    own = _crossing(fit, name, value, rows_BxP[:1], np.arange(*DECADES, STEP))
    for step in (STEP, STEP / 30):  # the estimate to a few parts in 10^5
        own = _crossing(fit, name, value, rows_BxP[:1], own[0] + np.linspace(-step, step, 41))
    if len(rows_BxP) == 1 or not np.isfinite(own[0]):
        return np.concatenate([own, np.full(len(rows_BxP) - 1, np.nan)])
    near = own[0] + np.arange(-REACH, REACH + STEP / 2, STEP)
    return np.concatenate([own, _crossing(fit, name, value, rows_BxP[1:], near)])


def _crossing(
    fit: LawFit, name: Given, value: float, rows_BxP: np.ndarray, log_C_K: np.ndarray
) -> np.ndarray:
    """Where a quantity of the optimum crosses `value`, linearly in logs between the budgets."""
    if not np.isfinite(log_C_K).all():
        return np.full(len(rows_BxP), np.nan)
    C_K = 10.0**log_C_K
    n_BxK, loss_BxK = optimal_losses(fit, C_K, rows_BxP)
    with np.errstate(all="ignore"):
        quantity = {"n_params": n_BxK, "tokens": C_K / fit.cost(n_BxK), "loss": -loss_BxK}[name]
        target = -value if name == "loss" else value
    found = np.full(len(rows_BxP), np.nan)
    for b, values_K in enumerate(quantity):
        reached = values_K >= target
        k = int(np.argmax(reached))
        # NaN compares as not reached; a first budget that is beyond already brackets nothing.
        if not reached[k] or k == 0 or not np.isfinite(values_K[k - 1]):
            continue
        share = (target - values_K[k - 1]) / (values_K[k] - values_K[k - 1])
        found[b] = log_C_K[k - 1] + share * (log_C_K[k] - log_C_K[k - 1])
    return found


def _fixed(fit: LawFit, question: Question, rows_BxP: np.ndarray) -> Answers:
    given = question.given
    if fit.law is None and ("loss" in given or set(given) == {"n_params", "tokens"}):
        raise UserError("a run of given size or loss needs the surface L(N, D): fit with --approach 3")
    n_B = np.full(len(rows_BxP), given.get("n_params", np.nan))
    d_B = np.full(len(rows_BxP), given.get("tokens", np.nan))
    if "flops" in given and "n_params" in given:
        d_B = given["flops"] / fit.cost(n_B)
    elif "flops" in given:
        n_B = np.full(len(rows_BxP), size_of_cost(fit, given["flops"] / given["tokens"]))
    elif "loss" in given and "n_params" in given:
        d_B = np.array([tokens_at(fit, p, n_B[:1], given["loss"])[0] for p in rows_BxP])
    elif "loss" in given:
        n_B = np.array([_size_for(fit, p, given["tokens"], given["loss"]) for p in rows_BxP])
    pairs = zip(rows_BxP, n_B, d_B, strict=True)
    loss_B = np.array([float(fit.losses(p, n, d)) for p, n, d in pairs])
    return Answers(n_B, d_B, fit.cost(n_B) * d_B, loss_B)


def tokens_at(fit: LawFit, params_P: np.ndarray, N: np.ndarray, loss: float) -> np.ndarray:
    """Tokens that bring N parameters to `loss`, by bisection; NaN where none within `MOST_TOKENS` do."""
    return _bisect(lambda D: fit.losses(params_P, N, D) <= loss, np.log(MOST_TOKENS), np.shape(N))


def _size_for(fit: LawFit, params_P: np.ndarray, tokens: float, loss: float) -> float:
    """The smallest size that reaches `loss` on so many tokens; NaN where no model of `MOST_PARAMETERS`
    does."""
    return float(_bisect(lambda N: fit.losses(params_P, N, tokens) <= loss, np.log(MOST_PARAMETERS), ()))


def size_of_cost(fit: LawFit, flops_per_token: float) -> float:
    """Parameters whose training takes so many FLOPs a token."""
    return float(_bisect(lambda N: fit.cost(N) >= flops_per_token, np.log(1e18), ()))


def _bisect(enough, top: float, shape: tuple[int, ...]) -> np.ndarray:
    """The least value from 1 to exp(top) that is enough, as more is too; NaN where none is."""
    # In logs, where a loss falls throughout; 60 halvings of 41 are below rounding.
    low, high = np.zeros(shape), np.full(shape, top)
    reachable = enough(np.exp(high))
    for _ in range(60):
        middle = 0.5 * (low + high)
        done = enough(np.exp(middle))
        low, high = np.where(done, low, middle), np.where(done, middle, high)
    return np.where(reachable, np.exp(high), np.nan)


def _no_answer(fit: LawFit, question: Question) -> str:
    given = question.given
    floor = fit.params.get("E")
    if "loss" in given and floor is not None and given["loss"] <= floor:
        return (
            f"--loss {given['loss']:g}: at or below the fit's irreducible loss {floor:.4g}, which no budget "
            "reaches; is it in bits (a bit is .693 nats), or of another text?"
        )
    if "flops" in given and not question.fixes_a_run:
        return (
            f"the fit has no interior optimum at {given['flops']:.3g} FLOPs: its loss falls to an end of "
            "the sizes"
        )
    words = " ".join(f"{OPTIONS[name]} {value:g}" for name, value in given.items())
    if "loss" in given and "tokens" in given:
        least = float(fit.predict(MOST_PARAMETERS, given["tokens"]))
        return f"{words}: on so many tokens the loss stays above {least:.4g}, however large the model"
    if "loss" in given and "n_params" in given:
        least = float(fit.predict(given["n_params"], MOST_TOKENS))
        return f"{words}: a model of that size stays above a loss of {least:.4g}, however long it is trained"
    return f"{words}: nothing from 1e3 to 1e33 FLOPs has it under this fit"
