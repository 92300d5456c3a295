"""Runs of Muennighoff et al. (2023), Scaling Data-Constrained Language Models."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pandas as pd

from isoflop.analysis.sources.public.table import PublicTable

TABLES = ("NAMES_TO_VAL_LOSSES", "TOKENS_MAP", "PARAMS_MAP")
"""The notebook's literals: run name -> loss, token shorthand -> billions, size shorthand -> parameters."""
PLACE = 1
"""Literals in cells of the notebook: the first has the runs with outliers, the second without, as fitted."""


def convert(files: list[Path]) -> pd.DataFrame:
    """182 rows: `name`, `n_params`, `n_tokens`, `n_tokens_unique`, `loss`.

    A run's name is its size, its tokens and its unique tokens, run together: `2b855b9b`.
    """
    losses, tokens, sizes = _literals(files[0])
    rows = []
    for name, loss in losses.items():
        if loss and not name.endswith("dedup"):
            size = next(name[:end] for end in range(2, len(name)) if name[:end] in sizes)
            unique = _last(name)
            seen = name[len(size) : -len(unique)]
            rows.append((name, sizes[size], _billions(seen, tokens), _billions(unique, tokens), loss))
    return pd.DataFrame(rows, columns=["name", "n_params", "n_tokens", "n_tokens_unique", "loss"])


def _literals(notebook: Path) -> list[dict]:
    """The dictionaries assigned in the cell, read as literals: nothing in the notebook is run."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    chosen = [source for source in sources if all(f"{name} = " in source for name in TABLES)][PLACE]
    found = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(chosen).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return [found[name] for name in TABLES]


def _last(name: str) -> str:
    """The last quantity of a name: as the notebook does, at most four characters with one unit letter."""
    end = -4 if name[-1] in "bm" or name[-2] not in "bm" else -3
    while name[end:].count("b") > 1 or name[end:].count("m") > 1:
        end += 1
    return name[end:]


def _billions(shorthand: str, table: dict[str, float]) -> float:
    """`55b` -> 5.5e10, `1b25` -> 1.25e9, and what the table says."""
    return 1e9 * (table[shorthand] if shorthand in table else float(shorthand.replace("b", ".").strip(".")))


TABLE = PublicTable(
    title="Muennighoff et al. (2023)",
    repository="huggingface/datablations",
    commit="13701315b163f1c54642b94ad237b2699187c3ee",
    files=(
        ("utils/parametric_fit.ipynb", "6c65d270e70c944a9ac90f5f1213a4584e1ff9d6d2781cd86900663f4ab17db9"),
    ),
    convert=convert,
    meanings={
        "count_meaning": "parameters as the authors give them",
        "loss": "validation loss, nats per token; tokens seen may repeat n_tokens_unique unique ones",
    },
)
