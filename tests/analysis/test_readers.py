"""Tables from disk: what is read, what is refused, and in which words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoflop.analysis import UserError, load_runs, table_of
from tests.support.examples import examples
from tests.support.surfaces import spread_runs

PLAIN = pd.DataFrame(
    {
        "n_params": [1e6, 2e6, 4e6],
        "n_tokens": [1e8, 2e8, 3e8],
        "loss": [3.0, 2.8, 2.6],
        "flops": [6e14, 2.4e15, 7.2e15],
    }
)


def write(frame: pd.DataFrame, path: Path) -> Path:
    """The frame in the format of the path's suffix."""
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".json":
        frame.to_json(path, orient="records")
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_table(tmp_path: Path, suffix: str) -> None:
    table = load_runs(write(PLAIN, tmp_path / f"runs{suffix}"))
    np.testing.assert_allclose(table.N_R, PLAIN["n_params"])
    np.testing.assert_allclose(table.C_R, PLAIN["flops"])
    np.testing.assert_allclose(table.loss_R, PLAIN["loss"])


@pytest.mark.parametrize("absent", ["n_params", "n_tokens", "flops"])
def test_the_third_of_N_D_C_follows_and_the_table_says_so(absent: str) -> None:
    table = table_of(PLAIN.drop(columns=absent))
    np.testing.assert_allclose(table.C_R, 6 * table.N_R * table.D_R)
    np.testing.assert_allclose(table.N_R, PLAIN["n_params"])
    assert table.conventions.derived_column == absent
    assert any(absent in line and "6ND" in line for line in table.warnings)


def test_columns_are_renamed(tmp_path: Path) -> None:
    foreign = PLAIN.rename(columns={"n_params": "N", "n_tokens": "D", "loss": "val"})
    path = write(foreign, tmp_path / "runs.csv")
    table = load_runs(path, columns="n_params=N, n_tokens=D,loss=val")
    np.testing.assert_allclose(table.D_R, PLAIN["n_tokens"])
    assert len(load_runs(path, columns={"n_params": "N", "n_tokens": "D", "loss": "val"})) == 3


def bad(column: str, value: object) -> pd.DataFrame:
    frame = PLAIN.astype(object).copy()
    frame.loc[1, column] = value
    return frame


REFUSED = {
    "loss NaN": (bad("loss", np.nan), r"loss is nan in line 3"),
    "loss zero": (bad("loss", 0.0), r"loss is 0.* in line 3: it must be a positive number"),
    "loss negative": (bad("loss", -1.0), r"loss is -1.* in line 3"),
    "loss a word": (bad("loss", "oops"), r"loss is oops in line 3"),
    "N infinite": (bad("n_params", np.inf), r"n_params is inf in line 3"),
    "D negative": (bad("n_tokens", -5.0), r"n_tokens is -5.* in line 3"),
    "C zero": (bad("flops", 0.0), r"flops is 0.* in line 3"),
    "no loss": (PLAIN.drop(columns="loss"), r"lacks loss .*it has n_params, n_tokens, flops"),
    "one of three": (
        PLAIN[["loss", "flops"]],
        r"lacks n_params, n_tokens .*two of n_params, n_tokens, flops",
    ),
    "perhaps under another name": (
        PLAIN.rename(columns={"loss": "train_loss"}),
        r"--columns loss=train_loss",
    ),
}


@pytest.mark.parametrize(("frame", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_tables_are_refused_in_one_line(tmp_path: Path, frame: pd.DataFrame, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        load_runs(write(frame, tmp_path / "runs.csv"))
    assert "\n" not in str(caught.value)
    assert "runs.csv" in str(caught.value)


def test_bad_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "header.csv").write_text("loss,n_params,n_tokens\n")
    (tmp_path / "broken.json").write_text('{"loss": [1,')
    (tmp_path / "broken.parquet").write_bytes(b"not parquet")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "sweep").mkdir()
    cases = {
        "nowhere.csv": "does not exist", "empty.csv": "is empty", "header.csv": "has no rows",
        "broken.json": "not a readable JSON table", "broken.parquet": "not a readable Parquet table",
        "notes.txt": "cannot read .txt", "sweep": "holds no runs.csv",
    }  # fmt: skip
    for name, says in cases.items():
        with pytest.raises(UserError, match=says) as caught:
            load_runs(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_bad_renames_are_refused(tmp_path: Path) -> None:
    path = write(PLAIN, tmp_path / "runs.csv")
    with pytest.raises(UserError, match=r"no column 'val' to call 'loss'; it has n_params"):
        load_runs(path, columns="loss=val")
    with pytest.raises(UserError, match="write new=old"):
        load_runs(path, columns="loss")


def test_counts_of_a_sweep_differ_and_a_plain_table_has_one(table, folder: Path) -> None:
    body, total = load_runs(folder, count="body"), load_runs(folder, count="total")
    assert np.all(body.N_R < table.N_R)
    assert np.all(table.N_R < total.N_R)
    np.testing.assert_allclose(load_runs(folder, flops="6nd").C_R, 6 * table.N_R * table.D_R)
    assert table_of(PLAIN).conventions.count_as_given
    with pytest.raises(UserError, match="--count total cannot be asked of it"):
        table_of(PLAIN, count="total")
    with pytest.raises(UserError, match="unknown count 'all': known are total"):
        table_of(PLAIN, count="all")
    with pytest.raises(UserError, match="unknown FLOPs"):
        table_of(PLAIN, flops="some")


def test_unfinished_rows_are_left_out_with_their_reason(table) -> None:
    (excluded,) = table.excluded
    assert "diverged" in excluded.why
    assert "NaN at step 41" in excluded.why
    assert excluded.row not in table.frame.index
    only = table.frame.assign(status="failed")
    with pytest.raises(UserError, match="no finished run"):
        table_of(only)


def test_mixed_schedules_warn(table) -> None:
    mixed = table.frame.reset_index(drop=True).copy()
    mixed.loc[0, "schedule"] = "cosine"
    assert any("2 kinds of schedule (cosine, wsd)" in line for line in table_of(mixed).warnings)
    assert not any("schedule" in line for line in table.warnings)


def test_tables_that_agree_are_pooled(tmp_path: Path, table) -> None:
    whole = table.frame
    first, second = write(whole[:25], tmp_path / "a.csv"), write(whole[20:], tmp_path / "b.csv")
    pooled = load_runs([first, second])
    assert len(pooled) == len(whole)
    assert any("5 repeated cells taken once" in line for line in pooled.warnings)
    other = write(whole[20:].assign(dataset="another"), tmp_path / "c.csv")
    with pytest.raises(UserError, match="differ in dataset"):
        load_runs([first, other])
    changed = write(whole[20:].assign(loss=9.9), tmp_path / "d.csv")
    with pytest.raises(UserError, match="has two losses"):
        load_runs([first, changed])
    with pytest.raises(UserError, match="no table named"):
        load_runs([])


def test_a_cell_of_several_axis_values_stays_whole_in_a_pool(tmp_path: Path, table) -> None:
    """Within a table it is a row for each value; from another table it is not taken again."""
    axes = pd.concat([table.frame[:10].assign(axes=f"batch_size={size}") for size in (1, 2)])
    first, second = write(axes, tmp_path / "a.csv"), write(table.frame, tmp_path / "b.csv")
    pooled = load_runs([first, second])
    assert pooled.frame["axes"].value_counts().to_dict() == {"batch_size=1": 10, "batch_size=2": 10}
    assert len(pooled) == len(table) + 10
    assert any("10 repeated cells taken once" in line for line in pooled.warnings)


@settings(max_examples=examples(40))
@given(
    rows=st.lists(
        st.tuples(*[st.floats(1e-3, 1e15, allow_nan=False)] * 3), min_size=1, max_size=12
    ),
    order=st.randoms(use_true_random=False),
)  # fmt: skip
def test_any_positive_table_loads_and_keeps_its_numbers(rows: list, order) -> None:
    frame = pd.DataFrame(rows, columns=["n_params", "n_tokens", "loss"])
    shuffled = frame.sample(frac=1, random_state=order.randint(0, 2**31))
    loaded, turned = table_of(frame), table_of(shuffled)
    assert sorted(loaded.loss_R) == sorted(turned.loss_R)
    np.testing.assert_array_equal(loaded.N_R, frame["n_params"])
    np.testing.assert_allclose(loaded.C_R, 6 * frame["n_params"] * frame["n_tokens"])


@settings(max_examples=examples(30))
@given(
    row=st.integers(0, 4),
    column=st.sampled_from(["n_params", "n_tokens", "loss"]),
    value=st.one_of(
        st.floats(max_value=0), st.just(float("nan")), st.just(float("inf")), st.just("x"), st.none()
    ),
)
def test_any_bad_cell_is_named_by_row_and_column(row: int, column: str, value: object) -> None:
    frame = spread_runs(5, 0.0).astype(object)
    frame.loc[row, column] = value
    with pytest.raises(UserError, match=rf"{column} is .* in row {row}"):
        table_of(frame)


def test_pandas_json_lines_with_nested_junk_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps({"loss": [1], "n_params": 1, "n_tokens": 2}) + "\n")
    with pytest.raises(UserError, match="must be a positive number"):
        load_runs(path)
