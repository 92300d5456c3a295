"""Columns that go by other names, and units that a name states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import UserError, load_runs, table_of
from isoflop.analysis.columns.units import split_unit

N, D = np.array([1e7, 2e7, 4e7]), np.array([1e9, 2e9, 3e9])
LOSS = np.array([3.0, 2.8, 2.6])

PUBLIC_HEADERS = {
    "Epoch AI": {"Model Size": N, "Training Tokens": D, "Training FLOP": 6 * N * D, "loss": LOSS},
    "Epoch AI in (Mis)Fitting": {"N": N, "C": 6 * N * D, "loss": LOSS, "hex_color": ["#f", "#e", "#d"]},
    "datablations": {"N": N, "D": D, "U": D / 2, "loss": LOSS},
    "Gadre et al.": {"N": N, "D": D, "flops": 6 * N * D, "loss_c4_val": LOSS, "loss_upper_c4_val": LOSS},
    "Porian et al., points": {"flops": 6 * N * D, "N": N, "D": D, "loss": LOSS, "param_count": ["std"] * 3},
    "Porian et al., optima": {"flops": 6 * N * D, "n": N, "t": D, "loss": LOSS},
    "Gemstones": {"params_active_precise": N, "tokens": D, "width": [64] * 3, "final_loss": LOSS},
    "CS336": {"parameters": N, "compute_budget": 6 * N * D, "final_loss": LOSS},
    "Open Athena": {"tokens": D, "params": N, "budget": 6 * N * D, "loss": LOSS},
    "Step Law": {"D": D, "N": N, "lr": [1e-3] * 3, "D/N": D / N, "loss": LOSS, "smooth loss": LOSS},
    "Levanter": {
        "parameter_count": N, "throughput/total_tokens": D, "throughput/total_gflops": 6e-9 * N * D,
        "eval/paloma/macro_loss": LOSS, "train/loss": LOSS,
    },
    "W&B export": {"num_params": N, "Tokens Seen": D, "val_loss": LOSS, "State": ["finished"] * 3},
    "Kaplan et al.": {"n_params": N, "PF-days": 6 * N * D / 8.64e19, "Test Loss": LOSS},
    "a spreadsheet": {"Params (M)": N / 1e6, "tokens_B": D / 1e9, "Validation Loss": LOSS},
    "other case": {"N_Params": N, "N-Tokens": D, "LOSS": LOSS},
}  # fmt: skip


@pytest.mark.parametrize("header", PUBLIC_HEADERS.values(), ids=PUBLIC_HEADERS.keys())
def test_public_tables_are_read_by_their_own_names(tmp_path: Path, header: dict) -> None:
    path = tmp_path / "runs.csv"
    pd.DataFrame(header).to_csv(path, index=False)
    table = load_runs(path)
    np.testing.assert_allclose(table.N_R, N)
    np.testing.assert_allclose(table.D_R, D)
    np.testing.assert_allclose(table.C_R, 6 * N * D)
    np.testing.assert_allclose(table.loss_R, LOSS)
    for new, old in table.conventions.columns.items():
        assert old in header
        assert any(f"{new} = {old}" in line for line in table.warnings)
    again = table.counted("non_embedding", "6nd")
    assert again.conventions.columns == table.conventions.columns
    assert set(table.warnings) - set(again.warnings) <= {"the table has no flops: it follows from C = 6ND"}


def test_the_conventions_name_the_tables_own_columns() -> None:
    table = table_of(pd.DataFrame(PUBLIC_HEADERS["Epoch AI"]))
    assert table.conventions.count_meaning == "n_params as the table gives it (its column 'Model Size')"
    assert table.conventions.flops_meaning.endswith("(its column 'Training FLOP')")
    assert table.counted("non_embedding", "6nd").conventions.flops_meaning == "6 N D"
    assert table_of(pd.DataFrame({"n_params": N, "n_tokens": D, "loss": LOSS})).conventions.columns == {}


def test_unique_tokens_come_along() -> None:
    table = table_of(pd.DataFrame(PUBLIC_HEADERS["datablations"]))
    np.testing.assert_allclose(table.frame["n_tokens_unique"], D / 2)
    assert any(line.startswith("3 of 3 runs see their text more than once") for line in table.warnings)
    fresh = pd.DataFrame({**PUBLIC_HEADERS["datablations"], "U": D})
    assert not any("more than once" in line for line in table_of(fresh).warnings)


AMBIGUOUS = {
    "losses": ({"N": N, "D": D, "loss_c4": LOSS, "loss_ptb": LOSS + 1}, "loss", "loss_c4"),
    "sizes": ({"params": N, "non_embedding_params": N / 2, "D": D, "loss": LOSS}, "n_params", "params"),
    "tokens": ({"params": N, "tokens": D, "tokens_seen": D / 2, "loss": LOSS}, "n_tokens", "tokens"),
    "compute": (
        {"params": N, "tokens": D, "flops_E": D, "train_flops": N, "Compute": D, "loss": LOSS},
        "flops",
        "train_flops",
    ),
}


@pytest.mark.parametrize(("header", "new", "old"), AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_several_candidates_are_named_with_the_mend(header: dict, new: str, old: str) -> None:
    with pytest.raises(UserError, match=rf"several columns that could be {new}: .*--columns {new}={old}"):
        table_of(pd.DataFrame(header))


def test_columns_of_equal_numbers_are_no_ambiguity() -> None:
    header = {"params": N, "num_params": N, "tokens": D, "tokens_B": D / 1e9, "loss": LOSS}
    np.testing.assert_allclose(table_of(pd.DataFrame(header)).D_R, D)


def test_the_choice_made_by_hand_wins(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    frame = pd.DataFrame({"N": N, "D": D, "loss": LOSS, "loss_ptb": LOSS + 1, "size": 2 * N})
    frame.to_csv(path, index=False)
    table = load_runs(path, columns="loss=loss_ptb,n_params=size")
    np.testing.assert_allclose(table.loss_R, LOSS + 1)
    np.testing.assert_allclose(table.N_R, 2 * N)
    assert table.conventions.columns == {"loss": "loss_ptb", "n_params": "size", "n_tokens": "D"}
    swapped = load_runs(path, columns="loss=loss_ptb,loss_ptb=loss")
    np.testing.assert_allclose(swapped.frame["loss_ptb"], LOSS)


@pytest.mark.parametrize("letters", [{"C": D}, {"T": D}, {"t": D}, {"n": N, "d": D}, {"L": LOSS}])
def test_a_letter_alone_is_not_believed(letters: dict) -> None:
    frame = pd.DataFrame({**letters, "loss": LOSS, **({} if "n" in letters else {"n_params": N})})
    with pytest.raises(UserError, match="lacks n_"):
        table_of(frame)


def test_a_training_loss_is_only_proposed() -> None:
    with pytest.raises(UserError, match=r"lacks loss .*--columns loss=train_loss"):
        table_of(pd.DataFrame({"N": N, "D": D, "train_loss": LOSS}))


UNITS = {
    ("params_M", "n_params"): ("params", 1e6),
    ("Params (M)", "n_params"): ("params", 1e6),
    ("params in billions", "n_params"): ("params", 1e9),
    ("million parameters", "n_params"): ("parameters", 1e6),
    ("tokens_B", "n_tokens"): ("tokens", 1e9),
    ("Tokens [T]", "n_tokens"): ("tokens", 1e12),
    ("tokens_1e9", "n_tokens"): ("tokens", 1e9),
    ("train_tflops", "flops"): ("trainflops", 1e12),
    ("total train ZFLOPs", "flops"): ("totaltrainflops", 1e21),
    ("compute_pf_days", "flops"): ("compute", 8.64e19),
    ("PF-days", "flops"): ("flops", 8.64e19),
    ("total_flops", "flops"): ("totalflops", 1.0),
    ("compute_flops", "flops"): ("computeflops", 1.0),
    ("loss_B", "loss"): ("lossb", 1.0),
    ("M", "n_params"): ("m", 1.0),
}


@pytest.mark.parametrize(("name", "expected"), UNITS.items(), ids=str)
def test_units_are_read_from_names_alone(name: tuple[str, str], expected: tuple[str, float]) -> None:
    found = split_unit(*name)
    assert (found.key, found.scale) == expected


def test_a_unit_is_said_also_of_a_column_chosen_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    pd.DataFrame({"Params (M)": N / 1e6, "run_b": D, "loss": LOSS}).to_csv(path, index=False)
    table = load_runs(path, columns="n_params=Params (M),n_tokens=run_b")
    np.testing.assert_allclose(table.N_R, N)
    np.testing.assert_allclose(table.D_R, D)
    assert any("'Params (M)' gives the unit m; values multiplied by 1e+06" in line for line in table.warnings)


def test_likely_units_mistakes_are_named_and_left_alone() -> None:
    small = table_of(pd.DataFrame({"n_params": N / 1e6, "n_tokens": D / 1e9, "loss": LOSS}))
    np.testing.assert_allclose(small.N_R, N / 1e6)
    assert sum("is below 1000 in every row" in line for line in small.warnings) == 2
    off = pd.DataFrame({"n_params": N, "n_tokens": D, "flops": 6 * N * D / 1e9, "loss": LOSS})
    assert any("flops is 1e-09 times 6ND" in line for line in table_of(off).warnings)
    exact = off.assign(flops=6 * N * D * [2.0, 1.5, 1.2])
    assert not any("6ND" in line for line in table_of(exact).warnings)
