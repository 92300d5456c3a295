"""Runs of Hoffmann et al. (2022), read off the vector graphics of its figure 4 by Besiroglu et al. (2024)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from isoflop.analysis.sources.public.table import PublicTable


def convert(files: list[Path]) -> pd.DataFrame:
    """245 rows: `n_params`, `flops`, `loss`. Five of the highest losses are outliers to their extractors."""
    rows = pd.read_csv(files[0])
    return pd.DataFrame(
        {"n_params": rows["Model Size"], "flops": rows["Training FLOP"], "loss": rows["loss"]}
    )


TABLE = PublicTable(
    title="Besiroglu et al. (2024), extracted from Hoffmann et al. (2022), figure 4",
    repository="epoch-research/analyzing-chinchilla",
    commit="92258837425e1b5f2851d624287f0120583a3d0e",
    files=(
        (
            "data/svg_extracted_data.csv",
            "193478df4e90f040016431996c45682659306840ecdadf83cfb9cd5ca0aa1b30",
        ),
    ),
    convert=convert,
    meanings={
        "count_meaning": "parameters as on the figure's axis, read off its vector graphics",
        "flops_meaning": "training FLOPs as on the figure's axis, read off its vector graphics",
        "loss": "training loss, nats per token, read off a colour scale",
    },
)
