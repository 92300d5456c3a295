"""How sure the parameters of a curve law are, when neighbouring rows of a curve err alike.

Residuals along a curve are strongly correlated: by the law's own misfit, by the order of the data, by slow
drifts. Resampling rows would call every parameter certain. Whole curves are too few to resample. What is
drawn are signs of blocks of residuals: the wild bootstrap, its multipliers common to a block (Shao 2010,
The dependent wild bootstrap, JASA 105; for blocks Cameron, Gelbach and Miller 2008), which keeps each
residual where it is: the beginning of a curve errs more than its end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.analysis.curves.solving import CurveProblem, decoded, linearized, solve
from isoflop.analysis.uncertainty.identifiability import OPEN_DIRECTION, TAKES_PART, WIDEST_FACTOR, differing

BLOCK = 2.0
"""Rows in a block, in correlation times."""
FEWEST_BLOCKS = 3
"""Blocks that a curve of enough rows is at least divided into: a curve that errs as a whole is no
evidence."""
STEPS_A_DRAW = 20
"""Newton steps of a refit: a draw needs fewer digits than an estimate, and one that runs off along an
open valley has gone far enough to show it."""
LINEAR_DRAWS = 400
LEAST_LEFT = 0.02
"""Least share of a direction that the other blocks tell: what a block tells alone leaves no residual."""
MOST_CORRELATED = 0.98
"""Autocorrelation of neighbours beyond which a curve is one draw of its noise."""
FAR_AWAY = 1e300
FURTHEST_LAG = 0.25
"""Share of a curve's rows up to which autocorrelations are summed."""


@dataclass(frozen=True)
class Blocks:
    """The block of each of R rows, numbered from 0 through all curves, and how correlated rows are."""

    member_R: np.ndarray
    correlation_time: float
    """Rows that tell as much as one independent row: 1 + 2 times the sum of autocorrelations."""

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.member_R[-1]) + 1

    @property
    def missed(self) -> float:
        """Variance of a mean over its variance where blocks are independent, at least 1.

        Neighbours on both sides of a block's end are correlated, and their signs are not. For
        autocorrelations phi^k, of correlation time (1 + phi) / (1 - phi), a block of b rows has all of it
        but a share of 2 phi (1 - phi^b) / ((1 - phi^2) b).
        """
        phi, b = _phi(self.correlation_time), len(self.member_R) / self.count
        return 1 / (1 - 2 * phi * (1 - phi**b) / ((1 - phi**2) * b))


def blocks_of(residual_R: np.ndarray, curve_R: np.ndarray) -> Blocks:
    """Blocks of about two correlation times within each curve; `curve_R`: each row's curve, ascending."""
    parts = np.split(residual_R, np.flatnonzero(np.diff(curve_R)) + 1)
    time = correlation_time(parts)
    member, first = [], 0
    for part in parts:
        count = int(np.clip(round(len(part) / (BLOCK * time)), min(FEWEST_BLOCKS, len(part)), len(part)))
        member.append(first + np.arange(len(part)) * count // len(part))
        first += count
    return Blocks(np.concatenate(member), time)


def correlation_time(parts: list[np.ndarray]) -> float:
    """1 + 2 times the sum of the autocorrelations, up to the first that is not positive, pooled over curves.

    What a fit leaves of n rows is less correlated than the noise was. Corrected as the autocorrelation of an
    AR(1) process of as long a time is, by (1 + 3 phi) / n (Kendall 1954, Biometrika 41).
    """
    square = sum(float((part**2).sum()) for part in parts)
    longest = max(1, int(FURTHEST_LAG * max(len(part) for part in parts)))
    time = 1.0
    for lag in range(1, longest + 1):
        product = sum(float((part[lag:] * part[:-lag]).sum()) for part in parts)
        if product <= 0 or square == 0:
            break
        time += 2 * product / square
    n = float(np.mean([len(part) for part in parts]))
    phi = _phi(time)
    phi = min((n * phi + (1 if time > 1 else 0)) / max(n - 3, 1), MOST_CORRELATED)
    return (1 + phi) / (1 - phi)


def _phi(time: float) -> float:
    """The autocorrelation of neighbours in an AR(1) process of this correlation time."""
    return (time - 1) / (time + 1)


def noise_draws(problem: CurveProblem, theta_P: np.ndarray, blocks: Blocks, B: int, seed: int) -> np.ndarray:
    """B draws of noise of the log loss, BxR: the residuals, each block with a random sign.

    Residuals of a fit are smaller than the noise, most so where a block alone tells a parameter and the fit
    follows it: in their place stand those of a fit without the block, to first order (I - H_bb)^-1 r_b with
    the hat matrix H (Bell and McCaffrey 2002, Survey Methodology 28; CR3 of MacKinnon, Nielsen and Webb 2023,
    Journal of Econometrics 232). Inflated for what blocks miss of the correlation.
    """
    sign_BxM = np.random.default_rng(seed).choice([-1.0, 1.0], size=(B, blocks.count))
    residual_R, jacobian_RxP = linearized(problem, theta_P)
    noise_R = without_own_block(residual_R, _basis(problem, residual_R, jacobian_RxP), blocks.member_R)
    return np.sqrt(blocks.missed) * noise_R * sign_BxM[:, blocks.member_R]


def _basis(problem: CurveProblem, residual_R: np.ndarray, jacobian_RxP: np.ndarray) -> np.ndarray:
    """An orthonormal basis of the directions that the fit follows: of the rows that its objective squares,
    without what no row moves in.
    """
    length_P = np.linalg.norm(jacobian_RxP, axis=0)
    unit_RxP = jacobian_RxP / np.where(length_P > 0, length_P, 1.0)
    inside_R = np.abs(residual_R) <= problem.delta
    basis_RxP, values_P, _ = np.linalg.svd(unit_RxP * inside_R[:, None], full_matrices=False)
    return basis_RxP[:, values_P > OPEN_DIRECTION * values_P[0]]


def without_own_block(residual_R: np.ndarray, basis_RxQ: np.ndarray, member_R: np.ndarray) -> np.ndarray:
    """Residuals of each block by a linear fit to the other blocks, R."""
    found_R = np.empty_like(residual_R)
    for rows in (member_R == block for block in range(member_R[-1] + 1)):
        share_Q, direction_RxQ = np.linalg.eigh(basis_RxQ[rows] @ basis_RxQ[rows].T)
        left_Q = np.maximum(1.0 - share_Q, LEAST_LEFT)
        found_R[rows] = direction_RxQ @ (direction_RxQ.T @ residual_R[rows] / left_Q)
    return found_R


def refitted(
    problem: CurveProblem, theta_P: np.ndarray, noise_BxR: np.ndarray, residual_R: np.ndarray
) -> np.ndarray:
    """theta of B refits to the fitted losses with noise, BxP, begun at the optimum."""
    predicted_R = problem.loss_R / np.exp(residual_R)
    begin_BxP = np.repeat(theta_P[None], len(noise_BxR), axis=0)
    return solve(
        problem, begin_BxP, predicted_R * np.exp(noise_BxR), warm=True, limit=STEPS_A_DRAW, gauss_newton=True
    ).theta_SxP


def linear_draws(problem: CurveProblem, theta_P: np.ndarray, noise_BxR: np.ndarray) -> np.ndarray:
    """The same to first order, without refitting, BxP; what no row depends on does not move."""
    residual_R, jacobian_RxP = linearized(problem, theta_P)
    inside_R = np.abs(residual_R) <= problem.delta
    slope_BxR = np.clip(noise_BxR, -problem.delta, problem.delta)
    length_P = np.linalg.norm(jacobian_RxP, axis=0)
    unit_RxP = jacobian_RxP / np.where(length_P > 0, length_P, 1.0)
    hessian = (unit_RxP * inside_R[:, None]).T @ unit_RxP
    moves = slope_BxR @ unit_RxP @ np.linalg.pinv(hessian, rcond=OPEN_DIRECTION**2, hermitian=True)
    return theta_P + moves / np.where(length_P > 0, length_P, 1.0)


def identify(
    problem: CurveProblem, theta_P: np.ndarray, draws_BxP: np.ndarray, agreeing_SxP: np.ndarray
) -> tuple[dict[str, bool], tuple[str, ...]]:
    """A verdict for each parameter, and a line for each way that some fail.

    A parameter is identified if 95% of its draws lie within a factor of three of the estimate, both ways;
    if no direction in which no prediction moves takes part in it; and if the starts that reached the
    optimum agree on it. `agreeing_SxP`: parameters that those starts reached.
    """
    names = problem.law.parameters
    params_P = decoded(problem.law, theta_P[None], problem.centre)[0]
    drawn_BxP = decoded(problem.law, draws_BxP, problem.centre)
    # A draw without a value, or beyond any, is one far away.
    far_BxP = np.nan_to_num(drawn_BxP, nan=FAR_AWAY, posinf=FAR_AWAY, neginf=-FAR_AWAY)
    low_P, high_P = np.quantile(far_BxP, [0.025, 0.975], axis=0)
    lower_P, upper_P = np.sort([params_P / WIDEST_FACTOR, params_P * WIDEST_FACTOR], axis=0)
    wide = {name for p, name in enumerate(names) if not (lower_P[p] < low_P[p] and high_P[p] < upper_P[p])}
    open_ = _open(problem, theta_P)
    disputed = differing(names, params_P, agreeing_SxP) - open_
    warnings = []
    if open_:
        warnings.append(
            f"{_listed(open_)} not identified: no row depends on them one by one; add a curve whose "
            "rate falls another way (a decay, a step down), or one at another rate"
        )
    if disputed:
        warnings.append(f"{_listed(disputed)} not identified: equally good optima disagree on it")
    if rest := wide - open_ - disputed:
        warnings.append(
            f"{_listed(rest)} not identified: their 95% reach beyond a factor {WIDEST_FACTOR:g} of the "
            "estimate; add curves whose rate falls in other ways"
        )
    failed = open_ | disputed | wide
    return {name: name not in failed for name in names}, tuple(warnings)


def _open(problem: CurveProblem, theta_P: np.ndarray) -> set[str]:
    """Parameters that take part in a direction in which no prediction moves, to first order."""
    _, jacobian_RxP = linearized(problem, theta_P)
    length_P = np.linalg.norm(jacobian_RxP, axis=0)
    still_P = ~(length_P > 1e-12 * length_P.max())
    unit_RxP = jacobian_RxP[:, ~still_P] / length_P[~still_P]
    _, values, rows = np.linalg.svd(unit_RxP, full_matrices=False)
    share = np.abs(rows[values < OPEN_DIRECTION * values[0]])
    taking = np.zeros(len(theta_P), dtype=bool)
    taking[~still_P] = np.any(share > TAKES_PART, axis=0)
    return {name for p, name in enumerate(problem.law.parameters) if still_P[p] or taking[p]}


def _listed(names: set[str]) -> str:
    return f"{', '.join(sorted(names))} {'are' if len(names) > 1 else 'is'}"
