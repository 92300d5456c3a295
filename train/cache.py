"""Where prepared corpora, tokenizers and compiled programs are kept between runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


def cache_dir(*parts: str) -> Path:
    """The cache folder's `parts`, made if need be: under `$ISOFLOP_CACHE`, else `~/.cache/isoflop`."""
    root = Path(os.environ.get("ISOFLOP_CACHE") or Path.home() / ".cache" / "isoflop")
    path = root.joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A scratch folder beside `path` that becomes `path` in one rename, or nothing if the body fails.

    Where another process got there first, its folder stands and ours goes: both hold the same content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield scratch
        if not path.exists():
            with contextlib.suppress(FileExistsError):
                scratch.chmod(0o755)
                scratch.rename(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
