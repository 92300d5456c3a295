"""Variable projection (Golub and Pereyra 1973): least squares with the linear amplitudes solved for exactly.

For least squares on the raw loss only the exponents remain to be searched; the amplitudes follow from them
by nonnegative least squares, which for three or four columns is the best of all subsets of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from isoflop.analysis.laws import Law


def projected_problem(law: Law, inputs, centre, loss_R, weight_R) -> tuple[Callable, Callable]:
    """(evaluate, params_of) as functions of the coordinates of theta that are no amplitudes.

    `evaluate(x, delta)`: half the weighted sum of squares at the best nonnegative amplitudes, nats^2, its
    gradient, and Kaufman's (1975) Gauss-Newton Hessian; `params_of(x)`: the natural parameters there.
    """
    P, linear = len(law.parameters), np.array(law.linear)
    nonlinear = np.array([p for p in range(P) if p not in law.linear])
    root_R = jnp.sqrt(weight_R)

    def unit(x):
        """Parameters with every amplitude at a size that suits the table's centre."""
        return law.decode(jnp.ones(P).at[nonlinear].set(x), *centre)

    def columns(x):
        """What the amplitudes leave alone (first), and what a unit of each adds; weighted, Rx(1+K)."""
        # The law is linear in the amplitudes: its value at none is what they leave alone, and each difference
        # from it is a column, whatever the law's form.
        params = unit(x)
        empty = params.at[linear].set(0.0)
        rest_R = law.predict(empty, *inputs)
        added = [law.predict(empty.at[k].set(params[k]), *inputs) - rest_R for k in linear]
        return root_R[:, None] * jnp.stack([rest_R, *added], axis=-1)

    def solved(columns_RxJ):
        """Amplitudes, and the inverse of the system of the columns that carry them."""
        left_R, basis_RxK = root_R * loss_R - columns_RxJ[:, 0], columns_RxJ[:, 1:]
        # Unit columns: the terms' sizes span orders of magnitude, and normal equations square the condition.
        length_K = jnp.linalg.norm(basis_RxK, axis=0)
        scaled_RxK = basis_RxK / length_K
        gram_KxK, right_K = scaled_RxK.T @ scaled_RxK, scaled_RxK.T @ left_R
        chosen_K = _best_subset(gram_KxK, right_K)
        # The derivative of the projection is that of the chosen columns: the subset itself is constant nearly
        # everywhere.
        inverse_KxK = jnp.linalg.inv(_system(gram_KxK, chosen_K)) * jnp.outer(chosen_K, chosen_K)
        return inverse_KxK @ right_K / length_K, inverse_KxK / jnp.outer(length_K, length_K)

    def evaluate(x, _delta):
        columns_RxJ = columns(x)
        amplitude_K, inverse_KxK = solved(columns_RxJ)
        share_J, basis_RxK = jnp.concatenate([jnp.ones(1), amplitude_K]), columns_RxJ[:, 1:]
        residual_R = root_R * loss_R - columns_RxJ @ share_J
        # Kaufman's approximation of the Jacobian of the residual: the derivative at fixed amplitudes, less
        # its projection on the columns. The term it leaves out is small where residuals are, and its gradient
        # is exact: where the amplitudes are best, their own change is of second order.
        raw_RxX = jnp.einsum("rjx,j->rx", jax.jacfwd(columns)(x), share_J)
        jacobian_RxX = raw_RxX - basis_RxK @ (inverse_KxK @ (basis_RxK.T @ raw_RxX))
        value = 0.5 * jnp.sum(residual_R**2)
        return value, -jacobian_RxX.T @ residual_R, jacobian_RxX.T @ jacobian_RxX

    def params_of(x):
        params = unit(x)
        amplitude_K, _ = solved(columns(x))
        return params.at[linear].set(params[linear] * amplitude_K)

    return evaluate, params_of


def _system(gram_KxK, chosen_K):
    """The normal equations of the chosen columns; a row of the identity for each other."""
    return gram_KxK * jnp.outer(chosen_K, chosen_K) + jnp.diag(1.0 - chosen_K)


def _best_subset(gram_KxK, right_K):
    """The columns of the nonnegative least squares solution, as ones and zeros."""
    K = right_K.shape[0]
    subsets = np.array([s for s in itertools.product((0.0, 1.0), repeat=K) if any(s)])

    # The empty subset, no amplitude at all, is left out: a positive loss has a better one.
    def share(chosen_K):
        return jnp.linalg.solve(_system(gram_KxK, chosen_K), right_K * chosen_K) * chosen_K

    # Of all subsets whose unconstrained solution is nonnegative, the one that explains most of the sum of
    # squares (x' A' y at a least-squares solution) is the constrained optimum: 2^K - 1 solves, K at most 3,
    # and none of the branching of an active-set method, which vmap cannot follow.
    share_SxK = jax.vmap(share)(jnp.asarray(subsets))
    explained_S = share_SxK @ right_K
    valid_S = jnp.all(share_SxK >= 0, axis=1) & jnp.isfinite(explained_S)
    return jnp.asarray(subsets)[jnp.argmax(jnp.where(valid_S, explained_S, -jnp.inf))]
