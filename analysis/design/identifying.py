"""What to run next: the runs on which parameters that now fit equally well disagree most."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from isoflop.analysis.compute import PerToken
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.solver.linearize import jacobian, sensitivity
from isoflop.analysis.solver.solver import FitProblem

BEYOND = 3.0
"""How far outside the table's sizes and token counts a suggestion may lie."""
RATIO = 10.0
"""... and its tokens per parameter outside the table's."""
GRID = 25
"""Candidates along each of N and D, evenly in logs: finer than the sizes of runs are chosen."""
MOST_SUGGESTED = 2
"""Suggestions: after two runs all is fitted again."""
PLAUSIBLE = 2.0
"""Factor beyond the table's losses within which the law, and a rival of it, can be meant."""
LEAST_GAP = 1e-3
"""Nats between rivals below which no run tells them apart, however quiet the runs are."""
SUGGESTIONS_APART = 3.0
"""Suggestions differ by at least this factor in size or in tokens."""


def identifying_runs(
    problem: FitProblem, params_P: np.ndarray, theta_P: np.ndarray, rivals_AxP: np.ndarray, cost: PerToken,
    flops: float, noise: float, loss_R: np.ndarray,
) -> tuple[dict[str, float], ...]:  # fmt: skip
    """Up to two runs within `flops` training FLOPs each, best first: `n_params`, `n_tokens`, `flops`, the
    covariates that are a choice, and `separates`, the largest difference in nats per token between the
    parameters that fit about equally well, NaN without any.

    `rivals_AxP`: those parameters; without any, the runs are those the fitted ones say least about.
    `noise`: standard deviation of a run's log loss; `loss_R`: the runs' losses. No run is suggested where the
    law or a rival is absurd, nor one that tells them apart by less than the noise.
    """
    inputs = _candidates(problem, cost, flops)
    N_K, D_K = inputs[:2]
    if not len(N_K):
        return ()
    mine_K = evaluate(problem.law, params_P, *inputs)
    rivals_AxP = rivals_AxP[np.all(np.isfinite(rivals_AxP), axis=1)]
    if len(rivals_AxP):
        theirs_AxK = evaluate(problem.law, rivals_AxP, *inputs)
        inputs, mine_K, theirs_AxK = _plausible(inputs, mine_K, theirs_AxK, loss_R)
        N_K, D_K = inputs[:2]
        nats_AxK = np.abs(theirs_AxK - mine_K)
        score = _separating(nats_AxK / mine_K / max(noise, 1e-4))
        nats_K = nats_AxK.max(axis=0)
    else:
        score = _informative(problem, theta_P, inputs)
        nats_K = np.full(len(N_K), np.nan)
    return tuple(
        {
            "n_params": _rounded(N_K[k]),
            "n_tokens": _rounded(D_K[k]),
            "flops": float(cost(N_K[k]) * D_K[k]),
            **{
                covariate.column: _rounded(values_K[k])
                for covariate, values_K in zip(problem.law.covariates, inputs[2:], strict=True)
                if covariate.choices
            },
            "separates": float(nats_K[k]),
        }
        for k in _greedy(inputs, score)
        if not nats_K[k] < max(noise * mine_K[k], LEAST_GAP)
    )


def _plausible(
    inputs: tuple[np.ndarray, ...], mine_K: np.ndarray, theirs_AxK: np.ndarray, loss_R: np.ndarray
) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """The candidates at which neither the law nor a rival is absurd."""
    low, high = loss_R.min() / PLAUSIBLE, loss_R.max() * PLAUSIBLE
    inside_K = (mine_K > low) & (mine_K < high) & np.all((theirs_AxK > low) & (theirs_AxK < high), axis=0)
    return tuple(x[inside_K] for x in inputs), mine_K[inside_K], theirs_AxK[:, inside_K]


def _candidates(problem: FitProblem, cost: PerToken, flops: float) -> tuple[np.ndarray, ...]:
    """Inputs of the law on a grid around the table's, as far as a run costs no more than `flops`."""
    axes = [np.geomspace(x.min() / BEYOND, x.max() * BEYOND, GRID) for x in (problem.N_R, problem.D_R)]
    N_K, D_K = (x.ravel() for x in np.meshgrid(*axes, indexing="ij"))
    ratio_R, ratio_K = problem.D_R / problem.N_R, D_K / N_K
    usual_K = (ratio_K >= ratio_R.min() / RATIO) & (ratio_K <= ratio_R.max() * RATIO)
    fits_K = (cost(N_K) * D_K <= flops * 1.001) & (N_K >= 1) & (D_K >= 1) & usual_K
    N_K, D_K = N_K[fits_K], D_K[fits_K]
    options = [covariate.choices or (1.0,) for covariate in problem.law.covariates]
    sets = []
    for factors in itertools.product(*options):
        filled = problem.law.fill(N_K, D_K, cost(N_K) * D_K)
        sets.append((N_K, D_K, *(f * x for f, x in zip(factors, filled, strict=True))))
    return tuple(np.concatenate(column) for column in zip(*sets, strict=True))


def _greedy(inputs: tuple[np.ndarray, ...], score: Callable[[list[int]], np.ndarray]) -> list[int]:
    """Up to `MOST_SUGGESTED` candidates, each of the highest score given those before, none near another."""
    x_Kx2 = np.log(np.stack(inputs[:2], axis=1))
    chosen: list[int] = []
    open_K = np.ones(len(x_Kx2), dtype=bool)
    while len(chosen) < MOST_SUGGESTED and open_K.any():
        score_K = score(chosen)
        best = int(np.argmax(np.where(np.isfinite(score_K) & open_K, score_K, -np.inf)))
        chosen.append(best)
        open_K &= np.abs(x_Kx2 - x_Kx2[best]).max(axis=1) >= np.log(SUGGESTIONS_APART)
    return chosen


def _separating(gap_AxK: np.ndarray) -> Callable[[list[int]], np.ndarray]:
    """Scores by what a run adds to the rivals not yet set apart. Gaps in standard deviations."""

    def score(chosen: list[int]) -> np.ndarray:
        # log(1 + squared gaps): a rival that an earlier run already sets far apart gains little by one more,
        # so that the next run goes to a rival that is still near.
        known_A = (gap_AxK[:, chosen] ** 2).sum(axis=1)
        return (np.log1p(known_A[:, None] + gap_AxK**2) - np.log1p(known_A)[:, None]).sum(axis=0)

    return score


def _informative(
    problem: FitProblem, theta_P: np.ndarray, inputs: tuple[np.ndarray, ...]
) -> Callable[[list[int]], np.ndarray]:
    """Scores by the variance of the prediction there: a greedy D-optimal design."""
    J_RxP = np.nan_to_num(jacobian(problem, theta_P))
    J_KxP = np.nan_to_num(sensitivity(problem, theta_P, inputs))
    # By the matrix determinant lemma det(M + j j') = det(M) (1 + j' M^-1 j): the candidate of the largest
    # variance raises the determinant of the information most. The ridge makes an open direction's variance
    # finite.
    known = J_RxP.T @ J_RxP
    known = known + 1e-6 * max(float(np.trace(known)), 1e-300) * np.eye(len(known))

    def score(chosen: list[int]) -> np.ndarray:
        inverse = np.linalg.inv(known + J_KxP[chosen].T @ J_KxP[chosen])
        return np.einsum("kp,pq,kq->k", J_KxP, inverse, J_KxP)

    return score


def _rounded(x: float) -> float:
    return float(f"{x:.2g}")
