"""All benchmarks, one after the other: `python -m benchmarks [--small]`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

NAMES = (
    "fit",
    "first_fit",
    "step",
    "workers",
    "data",
    "survival",
    "folder",
    "grid_cost",
    "family",
    "rolling",
    "multiplier",
    "lab_load",
    "train",
    "accelerator",
)


def main() -> None:
    """Runs each in a process of its own."""
    for name in NAMES:
        print(f"== {name}", flush=True)
        if name == "train" and not importlib.util.find_spec("torch"):
            print("left out: it needs torch (pip install -e '.[torch]')")
            continue
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]], check=True)


if __name__ == "__main__":
    main()
