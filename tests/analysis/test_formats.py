"""Tables as other tools write them: spreadsheets, W&B's and others' exports, nested JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import RunTable, UserError, load_runs, table_of

N, D = np.array([1.5e6, 2e6, 4e6]), np.array([1e8, 2e8, 3e8])
LOSS = np.array([3.25, 2.875, 2.5])
ROWS = [{"n_params": n, "tokens": d, "val_loss": loss} for n, d, loss in zip(N, D, LOSS, strict=True)]


def same(table: RunTable) -> None:
    """The three runs above, and nothing else."""
    np.testing.assert_allclose(table.N_R, N)
    np.testing.assert_allclose(table.D_R, D)
    np.testing.assert_allclose(table.loss_R, LOSS)


HEADER = "params,tokens,loss\n"
FIRST, REST = "1500000,1e8,3.25\n", "2e6,2e8,2.875\n4e6,3e8,2.5\n"
PLAIN = HEADER + FIRST + REST
TEXTS = {
    "semicolons": PLAIN.replace(",", ";"),
    "tabs": PLAIN.replace(",", "\t"),
    "semicolons and decimal commas": "params;tokens;loss\n1,5e6;1e8;3,25\n2e6;200000000;2,875\n4e6;3e8;2,5\n",
    "thousands with dots": "params;tokens;loss\n1.500.000;1e8;3,25\n2.000.000;2e8;2,875\n4.000.000;3e8;2,5\n",
    "thousands with one dot": "params_k;tokens;loss\n1.500;1e8;3,25\n2.000;2e8;2,875\n4.000;3e8;2,5\n",
    "a spreadsheet's mark": "sep=;\n" + PLAIN.replace(",", ";"),
    "thousands in quotes": HEADER + '"1,500,000",1e8,3.25\n2e6,2e8,2.875\n"4,000,000","300,000,000",2.5\n',
    "decimal commas in quotes": HEADER + '1.5e6,1e8,"3,25"\n2e6,2e8,"2,875"\n4e6,3e8,"2,5"\n',
    "letters in cells": HEADER + "1.5M,100M,3.25\n2m,.2B,2.875\n4M,0.3 B,2.5\n".replace(".2B", "0.2B"),
    "comments": "# made by hand\n" + HEADER + FIRST + "# 9e9,9e9,9.9\n" + REST + "# the end\n",
    "a header that is a comment": "# " + PLAIN.replace("1500000", "1.5e6"),
    "the header twice": HEADER + FIRST + HEADER + REST,
    "empty rows": PLAIN.replace(REST, "\n,,\n" + REST + ",,\n,,\n"),
    "an index": "Unnamed: 0,params,tokens,loss\n0,1.5e6,1e8,3.25\n1,2e6,2e8,2.875\n2,4e6,3e8,2.5\n",
    "colours": "color,params,tokens,loss\n#f,1.5e6,1e8,3.25\n#e,2e6,2e8,2.875\n#d,4e6,3e8,2.5\n",
}  # fmt: skip


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_spreadsheets_write_is_read(tmp_path: Path, text: str, encoding: str) -> None:
    (tmp_path / "runs.csv").write_text(text, encoding=encoding)
    same(load_runs(tmp_path / "runs.csv"))


def test_a_western_windows_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_bytes("name,params,tokens,loss\n\u00e9t\u00e9,1e6,1e8,3\n".encode("cp1252"))
    assert len(load_runs(tmp_path / "runs.csv")) == 1


def test_text_that_spells_numbers_is_said() -> None:
    table = table_of(pd.DataFrame({"params": ["1.5M", "2M", "4M"], "tokens": D, "loss": LOSS}))
    assert any("'1.5M' as 1.5e+06" in line for line in table.warnings)


def nested(as_text: Any) -> pd.DataFrame:
    """W&B's runs as its documentation exports them."""
    summary = [
        {
            "eval/loss": loss,
            "train/loss": float("nan"),
            "total_tokens": d,
            "_step": 7,
            "_wandb": {"runtime": 3},
        }
        for d, loss in zip(D, LOSS, strict=True)
    ]
    config = [{"model": {"n_params": {"value": n, "desc": None}}, "lr": 1e-3, "tags": ["a"]} for n in N]
    cells = {"summary": list(map(as_text, summary)), "config": list(map(as_text, config))}
    return pd.DataFrame({**cells, "name": ["a", "b", "c"]})


@pytest.mark.parametrize(
    "as_text", [repr, str, json.dumps, lambda value: value], ids=["repr", "str", "json", "dict"]
)
def test_dictionaries_in_cells_are_columns(tmp_path: Path, as_text: Any) -> None:
    frame = nested(as_text)
    table = load_runs(wrote(frame, tmp_path), columns="n_params=config.model.n_params")
    same(table)
    assert table.conventions.columns["loss"] == "summary.eval/loss"
    np.testing.assert_allclose(table.frame["config.lr"], 1e-3)


def wrote(frame: pd.DataFrame, folder: Path) -> Path:
    """The frame in a file that keeps its cells."""
    if isinstance(frame["summary"].iloc[0], str):
        frame.to_csv(folder / "runs.csv")
        return folder / "runs.csv"
    (folder / "runs.json").write_text(json.dumps(frame.to_dict("records")))
    return folder / "runs.json"


def test_structures_in_parquet_are_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame({"config": [{"params": n} for n in N], "metrics": [{"val_loss": x} for x in LOSS]})
    frame.assign(tokens=D).to_parquet(tmp_path / "runs.parquet")
    same(load_runs(tmp_path / "runs.parquet"))


JSONS = {
    "records": ROWS,
    "records by name": {"1.5M": ROWS[0], "2M": ROWS[1], "4M": ROWS[2]},
    "lists by name": {"1.5M": ROWS[:1], "others": ROWS[1:]},
    "records under a key": {"version": 2, "runs": ROWS},
    "columns": {key: [row[key] for row in ROWS] for key in ROWS[0]},
    "columns by number": {key: {str(i): row[key] for i, row in enumerate(ROWS)} for key in ROWS[0]},
    "an API's dump": [
        {"name": i, "state": "finished", "config": {"n_params": {"value": row["n_params"]}},
         "summaryMetrics": {"loss": row["val_loss"], "tokens": row["tokens"]}}
        for i, row in enumerate(ROWS)
    ],
}  # fmt: skip


@pytest.mark.parametrize("data", JSONS.values(), ids=JSONS.keys())
def test_json_of_any_shape(tmp_path: Path, data: Any) -> None:
    (tmp_path / "runs.json").write_text(json.dumps(data))
    same(load_runs(tmp_path / "runs.json"))


def test_a_size_that_is_the_records_name_can_be_chosen(tmp_path: Path) -> None:
    data = {name: {"tokens": d, "loss": x} for name, d, x in zip(["1.5M", "2M", "4M"], D, LOSS, strict=True)}
    (tmp_path / "runs.json").write_text(json.dumps(data))
    same(load_runs(tmp_path / "runs.json", columns="n_params=name"))


EXPORTS = {
    "MLflow": {"params.n_params": N, "metrics.tokens": D, "metrics.val_loss": LOSS},
    "Optuna": {"user_attrs_n_params": N, "user_attrs_tokens": D, "user_attrs_val_loss": LOSS},
    "Ray Tune": {"config/n_params": N, "config/tokens": D, "val_loss": LOSS, "config/loss_coef": 1.0},
    "W&B": {"Name": list("abc"), "State": ["finished"] * 3, "Created": "2026-01-01", "n_params": N,
            "total_tokens": D, "eval/loss": LOSS},
}  # fmt: skip


@pytest.mark.parametrize("export", EXPORTS.values(), ids=EXPORTS.keys())
def test_what_trackers_write_before_a_name(export: dict) -> None:
    same(table_of(pd.DataFrame(export)))


def test_a_setting_named_params_is_no_count_of_parameters() -> None:
    export = EXPORTS["MLflow"] | {"params.n_tokens": D, "params.lr": 1e-3, "params.total_params": N}
    del export["metrics.tokens"]
    (note,) = [line for line in table_of(pd.DataFrame(export)).warnings if "also has" in line]
    assert "also has params.total_params: choose" in note


def test_the_value_of_a_trial_is_proposed_as_its_loss() -> None:
    trials = {"number": range(3), "value": LOSS, "user_attrs_n_params": N, "user_attrs_n_tokens": D}
    with pytest.raises(UserError, match=r"--columns loss=value$"):
        table_of(pd.DataFrame(trials))


CHARTS = {
    "with bounds": ["Step", "run-a - val/loss", "run-a - val/loss__MIN", "run-a - val/loss__MAX"],
    "without": ["train/global_step", "a - loss", "b - loss"],
    "by time": ["Relative Time (Process)", "a - loss"],
    "TensorBoard's": ["Wall time", "Step", "Value"],
}


@pytest.mark.parametrize("columns", CHARTS.values(), ids=CHARTS.keys())
def test_a_chart_is_told_apart_from_a_table_of_runs(columns: list[str]) -> None:
    with pytest.raises(UserError, match=r"(chart exported from W&B|exported from TensorBoard), a row a step"):
        table_of(pd.DataFrame(np.ones((3, len(columns))), columns=columns))
