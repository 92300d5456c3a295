"""The mixture of domains of least loss, from a mixing law fitted to each text that counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isoflop.analysis.laws import WITH_ARGUMENTS
from isoflop.analysis.result import LawFit
from isoflop.base.errors import UserError


def best_shares(fits: Sequence[tuple[LawFit, float]]) -> dict[str, float]:
    """Shares, summing to one, at which the weighted sum of losses is least.

    `fits`: a fit of `mixture(...)` for each text, all of the same domains, and its weight. Each loss is
    convex in the shares, and so is their sum: the one optimum is found from the middle.

    Raises `UserError` for fits of other laws or of different domains, and for weights that are not positive.
    """
    domains = _domains([fit for fit, _ in fits])
    weights = np.array([weight for _, weight in fits], dtype=float)
    if not np.all(np.isfinite(weights) & (weights > 0)):
        raise UserError("weights of texts must be positive numbers")
    params_TxP = np.stack([fit.params_P for fit, _ in fits])

    def total(shares_K: np.ndarray) -> tuple[float, np.ndarray]:
        """The weighted loss, and its derivative in the share of each domain."""
        terms_T = weights * params_TxP[:, 1] * np.exp(params_TxP[:, 2:] @ shares_K[:-1])
        slope_K = np.append(terms_T @ params_TxP[:, 2:], 0.0)
        return float(weights @ params_TxP[:, 0] + terms_T.sum()), slope_K

    from scipy.optimize import minimize  # a third of a second, and few need it

    K = len(domains)
    found = minimize(
        total,
        np.full(K, 1 / K),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * K,
        constraints={"type": "eq", "fun": lambda r: r.sum() - 1, "jac": lambda r: np.ones(K)},
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    return dict(zip(domains, map(float, found.x), strict=True))


def _domains(fits: list[LawFit]) -> tuple[str, ...]:
    """The domains that the laws of all fits name."""
    named = {fit.law or "" for fit in fits}
    called = [WITH_ARGUMENTS.fullmatch(name) for name in named]
    if len(named) != 1 or called[0] is None or called[0][1] != "mixture":
        laws = ", ".join(sorted(named)) or "none"
        raise UserError(
            f"the best mixture is of fits of one law, as mixture(web,code,books); these are {laws}"
        )
    return tuple(part.strip() for part in called[0][2].split(","))
