"""What a command imports, in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SLOW = {
    *("jax", "jaxlib", "flax", "optax", "scipy", "pandas", "pyarrow", "matplotlib", "jinja2"),
    *("wandb", "tensorflow_datasets", "grain", "array_record", "tokenizers", "pooch"),
}


def loaded(code: str, folder: Path) -> set[str]:
    """The slow ones among the packages that a fresh interpreter has imported after `code`."""
    code = f"import sys\n{code}\nprint(); print(*sorted(set({SLOW}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def command(*argv: str) -> str:
    """Code that runs a command to its end."""
    return (
        "from isoflop.__main__ import _run\n"
        f"try: _run({list(argv)})\n"
        "except SystemExit as stop: assert not stop.code, stop"
    )
