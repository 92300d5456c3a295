"""The processes of one worker that is spread over several machines: the first decides, the others follow.

A launcher starts each with ISOFLOP_COORDINATOR (host:port of the first), ISOFLOP_PROCESSES and
ISOFLOP_PROCESS_ID. A usual worker is a group of one.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ProcessGroup:
    """`count` processes, of which this is number `rank`."""

    count: int = 1
    rank: int = 0

    @classmethod
    def from_environment(cls) -> ProcessGroup:
        """The group that this process' environment names."""
        count = int(os.environ.get("ISOFLOP_PROCESSES", "1"))
        return cls(count, int(os.environ["ISOFLOP_PROCESS_ID"])) if count > 1 else cls()

    def join(self) -> None:
        """Meets the group's other processes; call it before JAX finds its devices."""
        if self.count == 1:
            return
        import jax

        # Its handler would take the scheduler's signals, which this worker handles.
        jax.config.update("jax_enable_preemption_service", False)
        if os.environ.get("JAX_PLATFORMS") == "cpu":
            jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(os.environ["ISOFLOP_COORDINATOR"], self.count, self.rank)

    @property
    def is_leader(self) -> bool:
        """Whether this process decides and files."""
        return self.rank == 0

    def broadcast(self, value: Any = None) -> Any:
        """Return the leader's JSON value in every process; those who follow give none."""
        if self.count == 1:
            return value
        from jax.experimental.multihost_utils import broadcast_one_to_all

        sent = np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)
        size = int(broadcast_one_to_all(np.int32(len(sent))))
        padded = np.zeros(size, np.uint8)
        if self.is_leader:
            padded[:] = sent
        return json.loads(np.asarray(broadcast_one_to_all(padded), dtype=np.uint8).tobytes())


ALONE = ProcessGroup()
"""A usual worker."""
