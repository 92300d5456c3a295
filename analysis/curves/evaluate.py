"""A curve law evaluated: by numpy where it is written for it, else by JAX in double precision."""

from __future__ import annotations

import numpy as np

from isoflop.analysis.curves.law import CurveLaw
from isoflop.analysis.laws.evaluate import float64_on_cpu, vectorized


def losses(law: CurveLaw, params: np.ndarray, features: tuple[np.ndarray, ...]) -> np.ndarray:
    """The law's losses at one parameter vector (P), R of them, or at each of B (BxR)."""
    params_BxP = np.atleast_2d(np.asarray(params, dtype=float))
    with np.errstate(all="ignore"):
        first = law.predict(params_BxP[0], *(each[:1] for each in features))
        if isinstance(first, np.ndarray):
            found = np.stack([law.predict(row, *features) for row in params_BxP])
            return found[0] if np.ndim(params) == 1 else found
    axes = (0, *(None for _ in features))
    with float64_on_cpu():
        found = np.asarray(vectorized(law.predict, axes)(params_BxP, *features))
    return found[0] if np.ndim(params) == 1 else found


def stacked(parts: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    """Features of several curves as those of all their rows; second dimensions are filled up with zeros."""
    found = []
    for each in zip(*parts, strict=True):
        widest = max(part.shape[1] if part.ndim > 1 else 0 for part in each)
        wide = [np.pad(p, ((0, 0), (0, widest - p.shape[1]))) if p.ndim > 1 else p for p in each]
        found.append(np.concatenate(wide))
    return tuple(found)
