"""What a refusal names: the user's own columns, the choice that would do, the line in the user's editor."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import UserError, load_runs, table_of

N, D = np.geomspace(1e7, 1e9, 6), np.geomspace(1e9, 1e11, 6)
LOSS = 1.8 + 400 / N**0.34


def refusal(frame: pd.DataFrame, path: Path | None = None) -> str:
    """The line that refuses a table."""
    if path is not None:
        frame.to_csv(path, index=False)
    with pytest.raises(UserError) as caught:
        table_of(frame) if path is None else load_runs(path)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


PROPOSED = {
    "a budget": ({"budget": 6 * N * D, "width": ["d8"] * 6, "tokens": D, "c4 loss": LOSS}, "flops=budget"),
    "bits a byte": ({"params": N, "tokens": D, "val_bpb": LOSS, "core_score": 0.1}, "loss=val_bpb"),
    "several in one": ({"model_size_est": N, "data_seen": D, "val_bpb": LOSS},
                       "loss=val_bpb,n_params=model_size_est,n_tokens=data_seen"),
    "a letter": ({"params": N, "C": D, "loss": LOSS}, "flops=C"),
    "a name that spells the size": ({"name": ["1M", "2M", "3M", "4M", "5M", "6M"], "tokens": D, "loss": LOSS},
                                    "n_params=name"),
    "a name with spaces": ({"params": N, "tokens": D, "c4 bits": LOSS, "c4 nll": LOSS}, "'loss=c4 nll'"),
    "the better of two": ({"params": N, "tokens": D, "train_loss": LOSS, "val nll ": LOSS}, "'loss=val nll'"),
}  # fmt: skip


@pytest.mark.parametrize(("columns", "choice"), PROPOSED.values(), ids=PROPOSED.keys())
def test_the_choice_that_would_do_is_named(tmp_path: Path, columns: dict, choice: str) -> None:
    frame = pd.DataFrame(columns)
    assert f"--columns {choice}" in refusal(frame)
    frame.to_csv(tmp_path / "runs.csv", index=False)
    assert len(load_runs(tmp_path / "runs.csv", columns=choice.strip("'"))) == 6


def test_only_the_users_own_columns_are_named(tmp_path: Path) -> None:
    frame = pd.DataFrame({"params": N, "tokens": D, "score": LOSS})
    assert "; it has params, tokens, score. Choose" in refusal(frame)
    frame.assign(loss=LOSS).to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(UserError, match=r"it has params, tokens, score, loss$"):
        load_runs(tmp_path / "runs.csv", where="size=3")


def broken(row: int = 3) -> pd.DataFrame:
    """Six runs, one without a loss."""
    return pd.DataFrame({"params": N, "tokens": D, "val_loss": np.where(np.arange(6) == row, np.nan, LOSS)})


def test_rows_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    line = refusal(broken(), tmp_path / "runs.csv")
    assert "loss (the column 'val_loss') is nan in line 5" in line
    assert "--where 'val_loss!='" in line
    assert len(load_runs(tmp_path / "runs.csv", where="loss!=")) == 5


def test_lines_that_are_no_rows_count_too(tmp_path: Path) -> None:
    text = '# made\n\nname,params,tokens,loss\n"a\nb",1e6,1e8,3\n# out\nc,2e6,2e8,low\n'
    (tmp_path / "runs.csv").write_text(text)
    with pytest.raises(UserError, match="loss is low in line 7"):
        load_runs(tmp_path / "runs.csv")


def test_the_place_in_other_kinds_of_tables(tmp_path: Path) -> None:
    rows = [{"params": 1e6, "tokens": 1e8, "loss": loss} for loss in (3.0, -1.0)]
    (tmp_path / "runs.json").write_text(json.dumps(rows))
    (tmp_path / "runs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name, place in {"runs.json": "record 2", "runs.jsonl": "line 2"}.items():
        with pytest.raises(UserError, match=f"loss is -1.0 in {place}"):
            load_runs(tmp_path / name)
    with pytest.raises(UserError, match="in row d:"):
        table_of(broken().set_index(pd.Index(list("abcdef"))))


def test_the_file_is_named_where_there_are_several(tmp_path: Path) -> None:
    broken(9).to_csv(tmp_path / "a.csv", index=False)
    broken(1).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(UserError, match=r"in line 3 of .*b\.csv"):
        load_runs([tmp_path / "a.csv", tmp_path / "b.csv"])


def test_log_likelihoods_are_told_to_turn_their_sign() -> None:
    assert "turn its sign" in refusal(pd.DataFrame({"params": N, "tokens": D, "loss": -LOSS}))


def test_other_counts_of_parameters_are_said() -> None:
    frame = pd.DataFrame(
        {"params_total": N, "params_head": N / 9, "params_body": N / 2, "tokens": D, "loss": LOSS}
    )
    (line,) = [each for each in table_of(frame).warnings if each.startswith("N is params_total")]
    assert "params_head, params_body" in line
