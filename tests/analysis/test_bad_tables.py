"""Whatever a table holds, it loads or is refused in one line."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoflop.analysis import RunTable, UserError, load_runs, table_of
from tests.support.examples import examples

ROWS = 6


def plain(**changed: Any) -> pd.DataFrame:
    """Six sound runs, with columns replaced or added."""
    N = np.geomspace(1e6, 1e8, ROWS)
    return pd.DataFrame({"n_params": N, "n_tokens": 20 * N, "loss": 2 + 100 / N**0.3}).assign(**changed)


def one_bad(value: object) -> list[object]:
    return [3.0, 2.9, value, 2.7, 2.6, 2.5]


REFUSED = {
    "infinite": (plain(loss=one_bad(np.inf)), "loss is inf in row 2"),
    "minus infinite": (plain(loss=one_bad(-np.inf)), "loss is -inf in row 2"),
    "absent": (plain(loss=one_bad(None)), "loss is (nan|None) in row 2"),
    "absent, nullable": (plain(loss=pd.array(one_bad(None), dtype="Float64")), "loss is <NA> in row 2"),
    "text": (plain(loss=one_bad("diverged")), "loss is diverged in row 2"),
    "text over lines": (plain(loss=one_bad("a\nb\u2028c")), "loss is a b c in row 2"),
    "a list": (plain(loss=one_bad([1.0])), r"loss is \[1.0\] in row 2"),
    "truth values": (plain(loss=[True] * ROWS), "loss is True in row 0"),
    "dates": (plain(loss=pd.date_range("2024-01-01", periods=ROWS)), "loss is 2024-01-01 00:00:00 in row 0"),
    "complex": (plain(loss=np.full(ROWS, 1 + 2j)), "loss is"),
    "a number beyond floats": (plain(n_params=one_bad(10**400)), "n_params is 1000.* in row 2"),
    "a loss in thousands": (plain(loss=one_bad("1,000,000")), "loss is 1,000,000 in row 2"),
    "units of their own": (plain(n_params=["70 heads"] * ROWS), "n_params is 70 heads in row 0"),
    "6ND beyond floats": (plain(n_params=1e200, n_tokens=1e200), "leaves the range of numbers"),
    "budget a word": (plain(budget=one_bad("large")), "budget is large in row 2"),
    "budget negative": (plain(budget=-1.0), "budget is -1.0 in row 0"),
    "all failed": (plain(status="failed"), "no finished run"),
    "no rows": (plain().iloc[:0], "has no rows"),
    "no columns": (pd.DataFrame(), "has no rows"),
    "numbered columns": (pd.DataFrame(np.ones((3, 4))), "lacks loss, n_params, n_tokens, flops"),
    "two columns of a name": (pd.concat([plain(), plain()], axis=1), "has the column 'n_params' twice"),
    "a name over lines": (plain().rename(columns={"loss": "the\nscore"}), "lacks loss .*the score"),
}


@pytest.mark.parametrize(("frame", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_frames_are_refused_in_one_line(frame: pd.DataFrame, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        table_of(frame)
    assert len(str(caught.value).splitlines()) == 1


READ = {
    "numbers as text": plain(n_params=[f" {n:.0f}" for n in plain()["n_params"]]),
    "decimals": plain(n_params=[Decimal(int(n)) for n in plain()["n_params"]]),
    "nullable": plain().astype("Float64"),
    "integers": plain(n_params=plain()["n_params"].astype(int)),
    "all losses equal": plain(loss=3.0),
    "loss rising with N": plain(loss=np.linspace(2, 3, ROWS)),
    "one row": plain().iloc[:1],
    "an index with names": plain().set_index(pd.Index(list("abcdef"), name="run")),
    "an index that repeats": plain().set_index(pd.Index([0] * ROWS)),
    "lists beside": plain(tags=[["a"], [], None, ["b"], ["c"], ["d"]]),
    "dates beside": plain(when=[datetime.date(2024, 1, day) for day in range(1, ROWS + 1)]),
    "an empty budget": plain(budget=None),
    "a budget for some": plain(budget=one_bad(None)),
    "a kind that can't be hashed": plain(schedule=[{"a": 1}] * ROWS),
}


@pytest.mark.parametrize("frame", READ.values(), ids=READ.keys())
def test_odd_frames_are_read(frame: pd.DataFrame) -> None:
    table = table_of(frame)
    np.testing.assert_allclose(table.N_R, plain()["n_params"][: len(frame)], rtol=1e-5)
    assert table.budget_R is None or table.budget_R.dtype == float


def test_rows_that_repeat_are_kept_and_counted() -> None:
    table = table_of(pd.concat([plain(), plain(tags="x").iloc[:0], plain().iloc[:2]]))
    assert len(table) == ROWS + 2
    (said,) = [line for line in table.warnings if "repeat" in line]
    assert said.startswith("2 of 8 rows repeat an earlier one")
    seeds = pd.concat([plain(seed=0), plain(seed=1)])
    assert not [line for line in table_of(seeds).warnings if "repeat" in line]


def test_rows_that_two_tables_share_are_counted(tmp_path: Path) -> None:
    plain().to_csv(tmp_path / "a.csv", index=False)
    plain().iloc[:3].to_csv(tmp_path / "b.csv", index=False)
    table = load_runs([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert any(line.startswith("3 of 9 rows repeat") for line in table.warnings)


def test_tables_with_and_without_flops_are_not_pooled(tmp_path: Path) -> None:
    plain().to_csv(tmp_path / "a.csv", index=False)
    plain(flops=1e18, n_layers=2).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(UserError, match=r"a.csv has no flops as .*b.csv has"):
        load_runs([tmp_path / "a.csv", tmp_path / "b.csv"])


@pytest.mark.parametrize("name", ["finished", " Completed ", "DONE", "success"])
def test_other_words_for_finished(name: str) -> None:
    table = table_of(plain(status=[name] * 5 + ["running"], reason=[None] * 5 + ["step\n7"]))
    assert len(table) == 5
    assert [each.why for each in table.excluded] == ["status running: step 7"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("n_params,n_tokens,loss\n1e6,1e8,3.0,9\n2e6,1e8,2.9,9\n", "not a readable CSV table"),
        ("n_params,n_tokens,loss\n1e6,1e8,3.0\n2e6,1e8,2.9,9\n", "not a readable CSV table"),
        ("\x00\x01\x02", "runs.csv"),
        ("\n\n\n", "not a readable CSV table"),
    ],
)
def test_malformed_text_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=says) as caught:
        load_runs(path)
    assert len(str(caught.value).splitlines()) == 1


def test_tabs_marks_and_trailing_commas_are_read(tmp_path: Path) -> None:
    (tmp_path / "runs.tsv").write_text("n_params\tn_tokens\tloss\n1e6\t1e8\t3.0\n")
    (tmp_path / "runs.csv").write_text("\ufeffn_params,n_tokens,loss\n1e6,1e8,3.0,\n", encoding="utf-8")
    for name in ("runs.tsv", "runs.csv"):
        assert load_runs(tmp_path / name).N_R.tolist() == [1e6]


CELLS = st.one_of(
    st.floats(), st.integers(-(10**20), 10**20), st.text(max_size=4), st.none(), st.booleans(),
    st.floats(1, 1e12), st.just(pd.NA), st.just(pd.NaT),
    st.lists(st.integers(), max_size=2), st.binary(max_size=2),
)  # fmt: skip
NAMES = st.one_of(
    st.sampled_from(
        ["loss", "n_params", "n_tokens", "flops", "budget", "status", "N", "D", "C", "params_M", "val_loss",
         "n_params_total", "cell_id", "schedule", "n_tokens_unique", "reason", "dataset", 0]
    ),
    st.text(max_size=6),
)  # fmt: skip


def loaded(load: Callable[[Any], RunTable], source: Any) -> RunTable | None:
    """The table, or None where it is refused in one line."""
    try:
        return load(source)
    except UserError as error:
        message = str(error)
    assert len(message.splitlines()) == 1
    return None


@settings(max_examples=examples(150))
@given(
    st.integers(0, 4).flatmap(
        lambda rows: st.dictionaries(NAMES, st.lists(CELLS, min_size=rows, max_size=rows), max_size=7)
    )
)
def test_any_frame_loads_or_is_refused_in_one_line(columns: dict) -> None:
    if (table := loaded(table_of, pd.DataFrame(columns))) is None:
        return
    for values in (table.N_R, table.D_R, table.C_R, table.loss_R):
        assert np.all(np.isfinite(values) & (values > 0))
    assert all(len(line.splitlines()) == 1 for line in table.warnings)


@settings(max_examples=examples(100))
@given(st.dictionaries(NAMES, st.lists(CELLS, min_size=ROWS, max_size=ROWS), max_size=3))
def test_anything_beside_sound_columns_loads_or_is_refused(beside: dict) -> None:
    extra = {name: cells for name, cells in beside.items() if name not in plain().columns}
    table = loaded(table_of, pd.concat([plain(), pd.DataFrame(extra)], axis=1))
    if table is not None:
        assert len(table) + len(table.excluded) == ROWS
        assert all(len(each.why.splitlines()) == 1 for each in table.excluded)
        assert table.budget_R is None or table.budget_R.dtype == float


@settings(max_examples=examples(100))
@given(st.text(max_size=60) | st.text("loss,n_paramstoke0123456789.\n\"'", max_size=80), st.sampled_from(
    ["csv", "tsv", "json", "jsonl", "parquet"]
))  # fmt: skip
def test_any_text_loads_or_is_refused_in_one_line(tmp_path_factory, text: str, suffix: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"any.{suffix}"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    loaded(load_runs, path)


def test_a_million_rows_are_loaded(tmp_path: Path) -> None:
    rows = 1_000_000
    rng = np.random.default_rng(0)
    N = np.exp(rng.uniform(np.log(1e7), np.log(1e10), rows))
    status = np.where(np.arange(rows) % 100, "finished", "failed")
    pd.DataFrame(
        {"cell_id": np.arange(rows), "N": N, "D": 20 * N, "loss": 2 + 9 / N**0.1, "status": status}
    ).to_parquet(tmp_path / "runs.parquet")
    table = load_runs([tmp_path / "runs.parquet", tmp_path / "runs.parquet"])
    assert len(table) == 990_000
