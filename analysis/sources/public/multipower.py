"""Loss curves of Luo et al. (2025), A Multi-Power Law for Loss Curve Prediction: `isoflop fit --curves`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from isoflop.analysis.sources.public.table import PublicTable, listed_files

FILES = listed_files(Path(__file__).with_suffix(".txt"))


def convert(files: list[Path]) -> pd.DataFrame:
    """27 curves of nine schedules and three sizes: `run` (`100M_cosine_24000`), `step`, `lr`, `loss`."""
    names = [f"{Path(path).parent.name.removeprefix('csv_')}M_{Path(path).stem}" for path, _ in FILES]
    tables = [pd.read_csv(file).assign(run=name) for file, name in zip(files, names, strict=True)]
    return pd.DataFrame(pd.concat(tables, ignore_index=True)[["run", "step", "lr", "loss"]])


TABLE = PublicTable(
    title="Luo et al. (2025)",
    repository="thu-yao-01-luo/MultiPowerLaw",
    commit="8da9f1902602f3391b971a811e3cc51604541769",
    files=FILES,
    convert=convert,
    meanings={
        "count_meaning": "25M, 100M and 400M by the authors' names; each curve is of one model",
        "loss": "loss as the authors logged it, after a linear warm-up of 2,160 steps to 3e-4",
    },
    curves=True,
)
