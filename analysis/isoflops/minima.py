"""Where a budget's loss is least: a parabola's vertex, an interpolant's minimum, or the best run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.interpolate import Akima1DInterpolator

FLAT = 1e-9
"""A curve that bends, or varies, by less than this share of the loss over its runs is flat: rounding reaches
1e-15, and no loss is measured to 1e-9."""


@dataclass(frozen=True)
class Minima:
    """The minimum at one budget for each of B sets of losses."""

    x_B: np.ndarray
    """log N at the minimum; NaN where there is none. A parabola's vertex may lie beyond the runs; the others
    have no minimum there."""
    loss_B: np.ndarray
    """The loss there, nats per token."""
    side_B: np.ndarray
    """0: strictly between the smallest and the largest size; -1, 1: at or beyond the smallest, the largest;
    NaN: a concave or flat curve."""
    coarse_Bx2: np.ndarray
    """How much further the minimum may lie to either side for want of sizes there, in log N: half the way to
    the neighbours of the best run; zero for a curve."""

    @property
    def bracketed_B(self) -> np.ndarray:
        """The runs bracket the minimum."""
        return self.side_B == 0


def quadratic(N_R: np.ndarray, loss_BxR: np.ndarray) -> tuple[float, np.ndarray]:
    """(x0, c_Bx3): least squares of loss = c0 + c1 (x - x0) + c2 (x - x0)^2, nats, on x = log N."""
    # Centred: powers of log N itself, which is near 20 throughout, would be nearly collinear. The sizes are
    # the same in every row, so that one pseudoinverse solves all B.
    x_R = np.log(N_R)
    x0 = float(x_R.mean())
    return x0, loss_BxR @ np.linalg.pinv(np.vander(x_R - x0, 3, increasing=True)).T


def convex(N_R: np.ndarray, coefficients_Bx3: np.ndarray) -> np.ndarray:
    """The parabola bends upwards by more than rounding could make it, B booleans."""
    # The rise from the vertex over half the width of the runs, against the loss itself.
    reach = 0.5 * np.ptp(np.log(N_R))
    c0, _, c2 = coefficients_Bx3.T
    return c2 * reach**2 > FLAT * np.abs(c0)


def by_parabola(N_R: np.ndarray, loss_BxR: np.ndarray) -> Minima:
    """The vertex of the least-squares parabola in log N (Hoffmann et al. 2022, section 3.2)."""
    x0, coefficients_Bx3 = quadratic(N_R, loss_BxR)
    c0, c1, c2 = coefficients_Bx3.T
    # Concave rows get a curvature of one for the division, and NaN for an answer.
    bends = convex(N_R, coefficients_Bx3)
    c2 = np.where(bends, c2, 1.0)
    x_B = np.where(bends, x0 - c1 / (2 * c2), np.nan)
    return Minima(x_B, np.where(bends, c0 - c1**2 / (4 * c2), np.nan), _side(x_B, N_R), _no_gap(x_B))


def by_akima(N_R: np.ndarray, loss_BxR: np.ndarray) -> Minima:
    """The least point of Akima's (1970) interpolant of log loss in log N.

    As Porian et al. (2024) do, but found in closed form on each cubic piece instead of on a grid, and with
    the mean, not the best, of runs of one size.
    """
    x_K, y_BxK = by_size(N_R, loss_BxR)
    pieces = _akima(x_K, y_BxK).c  # 4x(K-1)xB, in x - x_K, highest power first
    width = np.diff(x_K)[:, None]
    with np.errstate(all="ignore"):
        # Least points of a cubic piece are zeros of its derivative or the piece's ends.
        a, b, c = 3 * pieces[0], 2 * pieces[1], pieces[2]
        # The slope is a t^2 + b t + c; b and the root have one sign, so that nothing cancels.
        half = -0.5 * (b + np.where(b < 0, -1.0, 1.0) * np.sqrt(b**2 - 4 * a * c))
        inner = np.stack([half / a, c / half])  # both roots of the slope, without cancellation
    inner = np.where((inner > 0) & (inner < width), inner, 0.0)
    # A piece's least point is a root inside it or its end; its start is the end of the one before.
    offset = np.concatenate([inner, np.broadcast_to(width, inner[:1].shape)])
    value = ((pieces[0] * offset + pieces[1]) * offset + pieces[2]) * offset + pieces[3]
    where = x_K[:-1, None] + offset
    flat = value.reshape(-1, value.shape[-1])
    best = np.argmin(flat, axis=0)[None]
    x_B = np.take_along_axis(where.reshape(flat.shape), best, axis=0)[0]
    side_B = _side(np.where(_varies(y_BxK), x_B, np.nan), N_R)
    loss_B = np.exp(np.take_along_axis(flat, best, axis=0)[0])
    return Minima(np.where(side_B == 0, x_B, np.nan), loss_B, side_B, _no_gap(x_B))


def by_argmin(N_R: np.ndarray, loss_BxR: np.ndarray) -> Minima:
    """The run of least loss, as it stands."""
    order = np.argsort(N_R, kind="stable")
    x_R = np.log(N_R[order])
    best = np.argmin(loss_BxR[:, order], axis=1)
    side_B = _side(np.where(_varies(loss_BxR), x_R[best], np.nan), N_R)
    x_B = np.where(side_B == 0, x_R[best], np.nan)
    # The true minimum lies nearer to this size than to its neighbours, if the curve is anything like
    # symmetric: within half the gap to each.
    x_K = np.unique(x_R)
    k = np.searchsorted(x_K, x_R[best])
    half_K = np.concatenate([[0.0], 0.5 * np.diff(x_K), [0.0]])
    coarse = np.stack([half_K[k], half_K[k + 1]], axis=1)
    return Minima(x_B, loss_BxR.min(axis=1), side_B, coarse)


CURVES: dict[str, Callable[[np.ndarray, np.ndarray], Minima]] = {
    "parabola": by_parabola,
    "akima": by_akima,
    "argmin": by_argmin,
}
"""Minimum of B sets of losses, BxR, over runs of sizes N, R, by the curve's name."""


def curve_through(curve: str, N_R: np.ndarray, loss_R: np.ndarray, N_M: np.ndarray) -> np.ndarray:
    """The curve's loss at M sizes within the runs, nats per token; of the best run's, straight lines."""
    if curve == "parabola":
        x0, coefficients = quadratic(N_R, loss_R[None])
        return np.vander(np.log(N_M) - x0, 3, increasing=True) @ coefficients[0]
    x_K, y_BxK = by_size(N_R, loss_R[None])
    x_M = np.clip(np.log(N_M), x_K[0], x_K[-1])
    if curve == "akima":
        return np.exp(_akima(x_K, y_BxK)(x_M)[0])
    return np.interp(x_M, x_K, y_BxK[0])


def by_size(N_R: np.ndarray, loss_BxR: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(log N, loss BxK) over the K distinct sizes, ascending; runs of one size are averaged."""
    order = np.argsort(N_R, kind="stable")
    sizes_K, first_K, runs_K = np.unique(N_R[order], return_index=True, return_counts=True)
    return np.log(sizes_K), np.add.reduceat(loss_BxR[:, order], first_K, axis=1) / runs_K


def open_interval(minima: Minima, level: float) -> tuple[float | None, float | None]:
    """The central interval of N at the minimum over B draws, parameters; None at an end that is open.

    A draw whose minimum lies at or beyond an end of the runs says only that; one without a minimum says
    nothing of either end. Dropping those draws would make a flat curve's interval look closed.
    """
    side_B = minima.side_B
    x_B = np.select([side_B == 0, side_B < 0, side_B > 0], [minima.x_B, -np.inf, np.inf], np.nan)
    # A draw that says nothing counts against either end: as -infinity for the low one, +infinity for the
    # high. `lower` and `higher`: a quantile between a finite draw and an infinite one must not be
    # interpolated.
    ends = (
        np.quantile(np.where(np.isnan(x_B), -np.inf, x_B), (1 - level) / 2, method="lower"),
        np.quantile(np.where(np.isnan(x_B), np.inf, x_B), (1 + level) / 2, method="higher"),
    )
    low, high = (float(np.exp(end)) if np.isfinite(end) else None for end in ends)
    return low, high


def _akima(x_K: np.ndarray, y_BxK: np.ndarray) -> Akima1DInterpolator:
    from scipy.interpolate import Akima1DInterpolator  # a third of a second, for the one curve that needs it

    return Akima1DInterpolator(x_K, np.log(y_BxK), axis=1)


def _side(x_B: np.ndarray, N_R: np.ndarray) -> np.ndarray:
    """`side_B` of minima at x_B."""
    low, high = np.log(N_R.min()), np.log(N_R.max())
    return np.where(np.isnan(x_B), np.nan, 1.0 * (x_B >= high) - 1.0 * (x_B <= low))


def _no_gap(x_B: np.ndarray) -> np.ndarray:
    """`coarse_Bx2` of a curve: it is defined between the sizes too."""
    return np.zeros((len(x_B), 2))


def _varies(loss_BxR: np.ndarray) -> np.ndarray:
    """The losses differ by more than rounding, B booleans."""
    return np.ptp(loss_BxR, axis=1) > FLAT * np.abs(loss_BxR).mean(axis=1)
