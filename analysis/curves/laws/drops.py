"""The drops of a learning rate, condensed: what each row of a curve needs to know of all steps before it.

A law that sums over every step costs rows times steps. Drops at nearly one rate and nearly one distance, as
summed rate, act alike, so that each row's are gathered into some tens of bins.
"""

from __future__ import annotations

import numpy as np

DISTANCE_BIN, RATE_BIN = 0.5, 0.5
"""Widths of a bin in the logs of distance and of rate. The public curves' losses by the multi-power law are
then within 7e-5 nats of the sum over every step."""
LOWEST_RATE = np.exp(-4.0)
"""Rates below this share of the peak are binned together: only the first steps of a warm-up are so low."""
MOST_GROUPS = 8192
"""Groups of neighbouring steps that a long schedule is first divided into."""


def condensed_drops(rates_T: np.ndarray, steps_R: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Drops of the rate up to each of R steps, in at most K bins: their sum, mean log rate, and mean log of
    S_k.

    A drop at step k is eta_(k-1) - eta_k (negative where the rate rises), its rate eta_k, and its distance
    S_k(s) the summed rate of steps k to s. Means are weighted by the size of the drop; rises and falls are in
    bins of their own. Each array is RxK; bins that a row does not need hold a drop of 0 at logs of 0.
    """
    area_T = np.cumsum(rates_T)
    groups = _grouped(rates_T, area_T, steps_R)
    rows = [_binned(groups, float(area_T[step]), int(step)) for step in steps_R]
    widest = max(1, max(drop.size for drop, _, _ in rows))
    drop_RxK, rate_RxK, distance_RxK = (np.zeros((len(rows), widest)) for _ in range(3))
    for r, (drop, rate, distance) in enumerate(rows):
        drop_RxK[r, : drop.size], rate_RxK[r, : drop.size] = drop, rate
        distance_RxK[r, : drop.size] = distance
    return drop_RxK, rate_RxK, distance_RxK


def _grouped(rates_T: np.ndarray, area_T: np.ndarray, steps_R: np.ndarray) -> tuple[np.ndarray, ...]:
    """Neighbouring drops of one sign as G groups that no row lies within.

    Each group's last step, summed drop, its size, mean log rate, mean summed rate before, and bin by rate.
    """
    drop_T = np.concatenate([[0.0], -np.diff(rates_T)])
    # A rate of zero has no log: its drop acts at once whatever the law, as does one a millionth of the peak.
    log_T = np.log(np.maximum(rates_T, 1e-6 * rates_T.max()))
    every = max(1, len(rates_T) // MOST_GROUPS)
    first = np.unique(np.concatenate([np.arange(0, len(rates_T), every), steps_R + 1]))
    group_T = np.searchsorted(first, np.arange(len(rates_T)), side="right")
    k = np.flatnonzero(drop_T)
    _, group_K = np.unique(2 * group_T[k] + (drop_T[k] < 0), return_inverse=True)
    size_G = np.bincount(group_K, np.abs(drop_T[k]))
    last_G = np.zeros(len(size_G), dtype=int)
    np.maximum.at(last_G, group_K, k)
    rate_G = np.bincount(group_K, np.abs(drop_T[k]) * log_T[k]) / size_G
    before_G = np.bincount(group_K, np.abs(drop_T[k]) * area_T[k - 1]) / size_G
    low = np.log(LOWEST_RATE)
    bin_G = (np.maximum(rate_G - np.log(rates_T.max()), low) / -RATE_BIN).astype(int)
    found = (last_G, np.bincount(group_K, drop_T[k]), size_G, rate_G, before_G, bin_G)
    order = np.argsort(last_G, kind="stable")
    return tuple(each[order] for each in found)


def _binned(groups: tuple[np.ndarray, ...], area: float, step: int) -> tuple[np.ndarray, ...]:
    """Summed drop, mean log rate and mean log distance in the bins that one row needs."""
    count = int(np.searchsorted(groups[0], step, side="right"))
    _, drop_G, size_G, rate_G, before_G, bin_G = (each[:count] for each in groups)
    distance_G = np.log(area - before_G)
    far_G = ((np.log(area) - distance_G) / DISTANCE_BIN).astype(int)
    # One number for each (distance, rate, sign): 1024 rates are more than there are.
    _, bin_G = np.unique((far_G * 1024 + bin_G) * 2 + (drop_G < 0), return_inverse=True)
    size_B = np.bincount(bin_G, size_G)
    means = (np.bincount(bin_G, size_G * each) / size_B for each in (rate_G, distance_G))
    return np.bincount(bin_G, drop_G), *means
