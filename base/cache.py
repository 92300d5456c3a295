"""Where prepared corpora, tokenizers and compiled programs are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir(*parts: str) -> Path:
    """The cache folder's `parts`, made if need be: under `$ISOFLOP_CACHE`, else `~/.cache/isoflop`."""
    root = Path(os.environ.get("ISOFLOP_CACHE") or Path.home() / ".cache" / "isoflop")
    path = root.joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path
