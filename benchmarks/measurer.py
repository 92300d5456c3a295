"""The process of a `benchmarks.processes.Measurer`: `python -m benchmarks.measurer MODULE.FUNCTION`.

Reads a setting (a JSON object) a line, and writes the function's result, or `{"error": ...}`, as a line.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback

from benchmarks.processes import LONGEST_ERROR


def serve() -> None:
    """Answers until there are no more settings."""
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to the log
    module, _, name = sys.argv[1].rpartition(".")
    function = getattr(importlib.import_module(module), name)
    for line in sys.stdin:
        try:
            result = function(**json.loads(line))
        except Exception as error:
            traceback.print_exc()
            first = (str(error).strip().splitlines() or [""])[0]
            result = {"error": f"{type(error).__name__}: {first}"[:LONGEST_ERROR]}
        print(json.dumps(result), file=results, flush=True)


if __name__ == "__main__":
    serve()
