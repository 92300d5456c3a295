"""Trees of arrays compared bit by bit."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np


def leaves(tree: Any) -> dict[str, np.ndarray]:
    """Arrays by their path."""
    flat = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): np.asarray(x) for path, x in flat}


def same(a: Any, b: Any) -> bool:
    """Whether two trees are equal bit by bit."""
    x, y = leaves(a), leaves(b)
    return x.keys() == y.keys() and all(x[k].tobytes() == y[k].tobytes() for k in x)
