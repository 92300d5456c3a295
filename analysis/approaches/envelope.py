"""The runs that no run of at most their compute beats, in a table and in its resamples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from isoflop.analysis.approaches.diagnostics import SURFACE, surface_of
from isoflop.analysis.isoflops.groups import NEARLY_EQUAL
from isoflop.analysis.isoflops.power_laws import frontier_params
from isoflop.analysis.laws import find_law
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.options import FitOptions
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.uncertainty.resampling import batches, resample, trunks_of

MOST_LAYERS = 30
"""A run under this many others is on the envelope of one resample in 10^13: all of them must be left out."""
MOST_OF_ONE_LAYER = 1000
"""Runs kept of one layer, at log-spaced computes: finer than `NEARLY_EQUAL` over any range that was ever
run."""


@dataclass(frozen=True)
class Contenders:
    """K runs that can be on the envelope, by ascending compute."""

    rows_K: np.ndarray
    """Positions in the table."""
    C_K: np.ndarray
    N_K: np.ndarray
    D_K: np.ndarray
    loss_K: np.ndarray
    inside_K: np.ndarray
    """1: sizes on both sides were run at nearly the same compute; 0: not; -1: too few runs there to say."""

    def on(self, loss_BxK: np.ndarray) -> np.ndarray:
        """Which are on the envelope of B sets of losses, BxK; an infinite loss is an absent run."""
        return _unbeaten(self.C_K, loss_BxK)

    def frontier(self, loss_BxK: np.ndarray) -> np.ndarray:
        """The values of `FRONTIER`, Bx7, through the envelope's runs that are not the end of their sizes."""
        # The envelopes have different lengths: their runs are packed to the left, and NaN fills up what is
        # left, so that one call fits all B without K columns of mostly nothing.
        draw, column = np.nonzero(self.on(loss_BxK) & (self.inside_K != 0))
        counts_B = np.bincount(draw, minlength=len(loss_BxK))
        place = np.arange(len(draw)) - np.repeat(np.cumsum(counts_B) - counts_B, counts_B)

        def packed(values: np.ndarray, empty: float) -> np.ndarray:
            block = np.full((len(loss_BxK), max(int(counts_B.max(initial=0)), 1)), empty)
            block[draw, place] = values
            return block

        optima = (self.N_K[column], self.D_K[column], loss_BxK[draw, column])
        return frontier_params(packed(self.C_K[column], self.C_K[0]), *(packed(x, np.nan) for x in optima))


def contenders(table: RunTable) -> Contenders:
    """The runs that can be on an envelope of the table or of a resample of it.

    Where runs stand alone those are its first layers, each the envelope of what the earlier ones leave; where
    they share trunks, which come and go as a whole, all runs.
    """
    rows_R = np.argsort(table.C_R, kind="stable")
    if trunks_of(table) is None:
        rows_K = rows_R[_first_layers(table.C_R[rows_R], table.loss_R[rows_R])]
    else:
        rows_K = rows_R
    return Contenders(
        rows_K,
        table.C_R[rows_K],
        table.N_R[rows_K],
        table.D_R[rows_K],
        table.loss_R[rows_K],
        _inside(table.C_R[rows_R], table.N_R[rows_R], rows_K, table),
    )


def resampled(
    table: RunTable, runs: Contenders, options: FitOptions, rng: np.random.Generator
) -> tuple[str, Iterator[np.ndarray]]:
    """(what is resampled, losses of the contenders in pieces of bxK, `options.bootstrap` draws in all).

    Runs that stand alone are drawn with replacement. Shared trunks are no independent runs: they are drawn as
    approach 3 draws them, and where they are few the losses are redrawn about the fitted surface with an
    effect a trunk. A run left out has an infinite loss.
    """
    R, K = len(table), len(runs.rows_K)
    trunks_R = trunks_of(table)
    sizes = batches(options.bootstrap, K if trunks_R is None else R)
    if trunks_R is None:
        # How often each contender is drawn, and all other runs together: R draws over K + 1 classes.
        chance = np.append(np.full(K, 1 / R), (R - K) / R)
        drawn = (rng.multinomial(R, chance, size=b)[:, :K] for b in sizes)
        return "runs, with replacement", (np.where(weight > 0, runs.loss_K, np.inf) for weight in drawn)
    surface_P = surface_of(table, options)
    if surface_P is None:
        T = int(trunks_R.max()) + 1
        whole = (rng.multinomial(T, np.full(T, 1 / T), size=b)[:, trunks_R[runs.rows_K]] for b in sizes)
        return f"{T} shared trunks, each whole", (np.where(w > 0, runs.loss_K, np.inf) for w in whole)
    predicted_R = evaluate(find_law(SURFACE), surface_P, table.N_R, table.D_R)
    description = resample(table, predicted_R, len(surface_P), 1, np.random.default_rng(0)).description
    pieces = (resample(table, predicted_R, len(surface_P), b, rng) for b in sizes)
    return description, (np.where(p.weight_BxR > 0, p.loss_BxR, np.inf)[:, runs.rows_K] for p in pieces)


def _unbeaten(C_K: np.ndarray, loss_BxK: np.ndarray) -> np.ndarray:
    """No run of less compute is as good, and none of nearly the same is better, BxK; C_K ascends."""
    # The least loss of all cheaper runs, and of those up to `NEARLY_EQUAL` above: nearly equal computes
    # compete.
    least_BxK = np.minimum.accumulate(loss_BxK, axis=1)
    nothing = np.full((len(loss_BxK), 1), np.inf)
    cheaper_K = np.searchsorted(C_K, C_K / (1 + NEARLY_EQUAL), side="left")
    reach_K = np.searchsorted(C_K, C_K * (1 + NEARLY_EQUAL), side="right") - 1
    cheaper_BxK = np.concatenate([nothing, least_BxK], axis=1)[:, cheaper_K]
    return np.isfinite(loss_BxK) & (loss_BxK <= least_BxK[:, reach_K]) & (loss_BxK < cheaper_BxK)


def _first_layers(C_R: np.ndarray, loss_R: np.ndarray) -> np.ndarray:
    """Ascending positions of the runs in the first layers; C_R ascends. A long layer is thinned.

    A run of a layer is beaten by one of every earlier layer, of no more compute and a lower loss.
    """
    left = np.arange(len(C_R))
    found = []
    for _ in range(MOST_LAYERS):
        if not len(left):
            break
        on = loss_R[left] <= np.minimum.accumulate(loss_R[left])
        layer = left[on]
        if len(layer) > MOST_OF_ONE_LAYER:
            grid = np.searchsorted(C_R[layer], np.geomspace(C_R[layer[0]], C_R[layer[-1]], MOST_OF_ONE_LAYER))
            layer = layer[np.unique(np.minimum(grid, len(layer) - 1))]
        found.append(layer)
        left = left[~on]
    return np.sort(np.concatenate(found))


def _inside(C_R: np.ndarray, N_R: np.ndarray, rows_K: np.ndarray, table: RunTable) -> np.ndarray:
    """`Contenders.inside_K`; C_R ascends, and N_R goes with it."""
    C_K = table.C_R[rows_K]
    first = np.searchsorted(C_R, C_K / (1 + NEARLY_EQUAL), side="left")
    last = np.searchsorted(C_R, C_K * (1 + NEARLY_EQUAL), side="right")
    # The end of the sizes run at nearly one compute is no optimum there; with one or two sizes every run is
    # an end, and that says nothing.
    verdict = np.ones(len(rows_K), dtype=int)
    for k, N in enumerate(table.N_R[rows_K]):
        near = N_R[first[k] : last[k]]
        low, high = near.min(), near.max()
        if not low < N < high:
            verdict[k] = 0 if np.any((near > low) & (near < high)) else -1
    return verdict
