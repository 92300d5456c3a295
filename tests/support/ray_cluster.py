"""A real Ray cluster of two nodes on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.optional import require_ray

NODE = {
    "num_cpus": 1,
    "object_store_memory": 80_000_000,
    "include_dashboard": False,
    "include_log_monitor": False,
}


@contextlib.contextmanager
def ray_cluster() -> Iterator[Any]:
    """Starts one of a core a node, which RAY_ADDRESS names, and ends it. Skips where Ray isn't installed."""
    require_ray()
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "no_monitor": True})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", str(cluster.address))
        try:
            cluster.add_node(**NODE)
            yield cluster
        finally:
            cluster.shutdown()
