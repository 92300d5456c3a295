"""A worker as a process: `python -m isoflop.sweeps.workers.worker_process FOLDER OPTIONS`.

OPTIONS are `WorkerOptions` as JSON. SIGTERM, SIGUSR2, SIGINT or the death of its parent make it save what it
is at, give it back, and leave with status 0. It shows that it lives before it imports JAX, which on a network
file system can take minutes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from isoflop.base.durable import DiskFullError, is_full
from isoflop.base.errors import UserError
from isoflop.base.json_values import from_json
from isoflop.sweeps.queue.heartbeats import HEARTBEATS_PER_LEASE, STARTING, HeartbeatWriter
from isoflop.sweeps.queue.process_identity import ProcessIdentity
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.workers.child import FULL, REFUSED
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.sweeps.workers.process_group import ProcessGroup


def main() -> int:
    """Works on a folder; returns the exit status."""
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
        signal.signal(number, lambda number, _: signals.append(number))
    parent = int(os.environ.get("ISOFLOP_PARENT") or os.getppid())

    def should_leave() -> bool:
        return bool(signals) or os.getppid() != parent

    os.dup2(2, 1)  # whatever a library prints goes to the log
    store, options = Store(Path(sys.argv[1])), from_json(WorkerOptions, json.loads(sys.argv[2]))
    group = ProcessGroup.from_environment()
    if not group.is_leader:
        group.join()
        from isoflop.sweeps.workers.worker import follow

        follow(store, options, group)
        return 0
    process, seconds = ProcessIdentity.own(), options.lease_seconds / HEARTBEATS_PER_LEASE
    heartbeats = HeartbeatWriter(store.path / "workers", process, seconds, options.hang_seconds, STARTING)
    heartbeats.start()
    try:
        group.join()
        from isoflop.sweeps.workers.worker import lead

        lead(store, process, heartbeats, options, should_leave, group)
    except DiskFullError:
        return FULL
    except OSError as error:
        if is_full(error):
            return FULL
        raise
    except UserError as error:
        store.refuse_work(process.name, str(error))
        return REFUSED
    finally:
        heartbeats.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
