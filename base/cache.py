"""Where prepared corpora, tokenizers and compiled programs are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir(*parts: str) -> Path:
    """Return the folder `parts` under `$ISOFLOP_CACHE`, else under `~/.cache/isoflop`, made if need be."""
    root = Path(os.environ.get("ISOFLOP_CACHE") or Path.home() / ".cache" / "isoflop")
    path = root.joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path
