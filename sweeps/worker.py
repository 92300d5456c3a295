"""A worker process: reads packs of tasks as JSON lines from stdin, does them, writes events as JSON lines.

Started by a launcher as `python -m sweeps.worker FOLDER EXECUTION`, the second a JSON object. A line holds a
list of tasks, trained as members of one program. Events go to the original stdout, which is kept for them
alone: whatever a library prints is sent to stderr.
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
    from models.errors import UserError
    from sweeps.execute import execute, task_from_json
    from sweeps.store import Store
    from train import device
    from train.execution import Execution
    from train.spec import from_json, to_json

    def send(**event: Any) -> None:
        events.write(json.dumps(event) + "\n")

    how = from_json(Execution, json.loads(sys.argv[2]))
    store = Store(Path(sys.argv[1]))
    try:
        device.set_up()
        found = device.find_device(how)
    except UserError as error:
        send(event="refused", reason=str(error))
        return
    send(event="ready", device=to_json(found))
    for line in sys.stdin:
        tasks = [task_from_json(task) for task in json.loads(line)]
        last = time.monotonic()

        def progress(steps: int, losses: Any) -> None:
            nonlocal last
            if time.monotonic() - last >= REPORT_SECONDS:
                last = time.monotonic()
                send(event="progress", steps=steps, losses=[float(loss) for loss in losses])

        try:
            execute(tasks, store, progress, how)
        except Exception as error:
            traceback.print_exc()
            send(event="failed", reason=f"{type(error).__name__}: {error}".splitlines()[0])
        else:
            send(event="done")


if __name__ == "__main__":
    main()
