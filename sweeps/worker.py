"""A worker process: reads tasks as JSON lines from stdin, does them, writes events as JSON lines.

Started by a launcher as `python -m sweeps.worker FOLDER`. Events go to the original stdout, which is
kept for them alone: whatever a library prints is sent to stderr.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

REPORT_SECONDS = 0.5


def main() -> None:
    """Works until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the launcher decides when to stop
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    from sweeps.execute import execute, task_from_json
    from sweeps.store import Store
    from train.device import set_up

    set_up()
    store = Store(Path(sys.argv[1]))

    def send(**event: Any) -> None:
        events.write(json.dumps(event) + "\n")

    send(event="ready")
    for line in sys.stdin:
        task = task_from_json(json.loads(line))
        last = time.monotonic()

        def progress(steps: int, loss: float) -> None:
            nonlocal last
            if time.monotonic() - last >= REPORT_SECONDS:
                last = time.monotonic()
                send(event="progress", steps=steps, loss=loss)

        try:
            execute(task, store, progress)
        except Exception as error:
            traceback.print_exc()
            send(event="failed", reason=f"{type(error).__name__}: {error}".splitlines()[0])
        else:
            send(event="done")


if __name__ == "__main__":
    main()
