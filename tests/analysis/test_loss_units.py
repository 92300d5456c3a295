"""Units of the loss, as its column's name states them; and numbers that no language model has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import FitOptions, RunTable, UserError, fit, load_runs, table_of
from isoflop.analysis.columns.loss_units import split_loss_unit

N = np.repeat(np.geomspace(1e7, 1e10, 5), 4)
D = np.tile(np.geomspace(3e8, 3e11, 4), 5)
LOSS = 1.9 + 400 / N**0.34 + 900 / D**0.32
BITS = LOSS / np.log(2)


def runs(**columns: Any) -> pd.DataFrame:
    """Runs of a known law without a loss, and more columns; names may have __ for a slash."""
    return pd.DataFrame({"params": N, "tokens": D} | {k.replace("__", "/"): v for k, v in columns.items()})


NAMES = {
    "eval/loss_ppl": ("evalloss", "nats per token"),
    "val_perplexity": ("val", "nats per token"),
    "valPPL": ("val", "nats per token"),
    "byte_perplexity": ("", "nats per byte"),
    "log_ppl": ("", "nats per token"),
    "val_bpb": ("val", "nats per byte"),
    "bits_per_byte": ("", "nats per byte"),
    "Loss (bits/byte)": ("loss", "nats per byte"),
    "eval bpc": ("eval", "nats per character"),
    "loss_bits_per_token": ("loss", "nats per token"),
    "loss_nats": ("loss", None),
    "nats per byte": ("", "nats per byte"),
    "val_loss": ("valloss", None),
    "loss_B": ("lossb", None),
}


@pytest.mark.parametrize(("name", "expected"), NAMES.items(), ids=NAMES.keys())
def test_the_unit_is_read_from_the_name(name: str, expected: tuple[str, str | None]) -> None:
    found = split_loss_unit(name)
    assert (found.key, found.becomes) == expected


CONVERTED = {
    "a perplexity read unasked": ({"eval__loss_ppl": np.exp(LOSS)}, None, "nats per token"),
    "a perplexity chosen": ({"test_ppl": np.exp(LOSS)}, "loss=test_ppl", "nats per token"),
    "bits a byte chosen": ({"val_bpb": BITS}, "loss=val_bpb", "nats per byte"),
    "bits a byte in brackets": ({"c4 (bits/byte)": BITS}, "loss=c4 (bits/byte)", "nats per byte"),
    "bits a character": ({"bpc": BITS}, "loss=bpc", "nats per character"),
    "bits a token read unasked": ({"loss_bits_per_token": BITS}, None, "nats per token"),
    "a unit said by the option": ({"score": np.exp(LOSS)}, "loss_ppl=score", "nats per token"),
}  # fmt: skip


@pytest.mark.parametrize(("columns", "chosen", "unit"), CONVERTED.values(), ids=CONVERTED.keys())
def test_a_loss_in_another_unit_is_converted_and_named(
    tmp_path: Path, columns: dict, chosen: str | None, unit: str
) -> None:
    runs(**columns).to_csv(tmp_path / "runs.csv", index=False)
    table = load_runs(tmp_path / "runs.csv", columns=chosen)
    np.testing.assert_allclose(table.loss_R, LOSS)
    assert table.conventions.loss.startswith(unit)
    assert table.conventions.loss_unit == unit
    assert table.counted("non_embedding", "6nd").conventions.loss == table.conventions.loss
    assert any(line.startswith("loss: the name") and unit in line for line in table.warnings)
    found = fit(table, FitOptions(bootstrap=0)).params
    assert found["alpha"] == pytest.approx(0.34, abs=1e-6)


def test_a_unit_that_no_name_states_is_not_made_up() -> None:
    for name in ("loss", "val_loss"):
        conventions = table_of(runs(**{name: LOSS})).conventions
        assert conventions.loss.startswith("the loss as the table gives it")
        assert conventions.loss_unit is None


def test_a_sweeps_own_loss_is_in_nats_per_token(table: RunTable) -> None:
    assert table.conventions.loss == "held-out cross-entropy, nats per token"


def test_the_loss_itself_wins_over_its_perplexity() -> None:
    table = table_of(runs(eval__loss=LOSS, eval__loss_ppl=np.exp(LOSS) + 1))
    assert table.conventions.columns["loss"] == "eval/loss"


def test_losses_of_different_units_are_not_pooled(tmp_path: Path) -> None:
    runs(loss_bits_per_byte=BITS).to_csv(tmp_path / "a.csv", index=False)
    runs(loss=LOSS).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(UserError, match="different units"):
        load_runs([tmp_path / "a.csv", tmp_path / "b.csv"])


CHOSEN = {
    "a letter with brackets": ("N (M)", N / 1e6, "n_params=N (M)"),
    "words of one's own with brackets": ("model scale [B]", N / 1e9, "n_params=model scale [B]"),
    "a suffix that the values bear out": ("size_M", N / 1e6, "n_params=size_M"),
    "a suffix that is part of a name": ("variant_b", N, "n_params=variant_b"),
    "a unit said by the option": ("size", N / 1e6, "n_params_M=size"),
    "a power": ("scale_1e9", N / 1e9, "n_params=scale_1e9"),
}


@pytest.mark.parametrize(("name", "values", "chosen"), CHOSEN.values(), ids=CHOSEN.keys())
def test_a_chosen_column_keeps_its_headings_unit(
    tmp_path: Path, name: str, values: np.ndarray, chosen: str
) -> None:
    frame = runs(loss=LOSS).drop(columns="params").assign(**{name: values})
    frame.to_csv(tmp_path / "runs.csv", index=False)
    table = load_runs(tmp_path / "runs.csv", columns=chosen)
    np.testing.assert_allclose(table.N_R, N)
    assert any("values multiplied by" in line for line in table.warnings) == (values[0] != N[0])


def test_letters_with_units_are_read_in_company() -> None:
    frame = pd.DataFrame({"N (M)": N / 1e6, "D (B)": D / 1e9, "val loss": LOSS})
    table = table_of(frame)
    np.testing.assert_allclose(table.N_R, N)
    np.testing.assert_allclose(table.D_R, D)


DOUBTED = {
    "swapped": (runs(loss=LOSS).rename(columns={"params": "tokens", "tokens": "params"}), "swapped"),
    "a perplexity without a name": (runs(loss=np.exp(LOSS + 2)), "a perplexity"),
    "far too small": (runs(loss=LOSS / 1e3), "no language model has"),
    "an accuracy": (runs(loss=1 - LOSS / 10), "an accuracy"),
    "worse than guessing": (runs(loss=LOSS + 4, vocab_size=256), r"\d+ of 20 runs .* \(5.55 nats, ln 256\)"),
}


@pytest.mark.parametrize(("frame", "says"), DOUBTED.values(), ids=DOUBTED.keys())
def test_numbers_that_no_language_model_has_are_noticed(frame: pd.DataFrame, says: str) -> None:
    (line,) = [line for line in table_of(frame).warnings if re.search(says, line)]
    assert len(line.splitlines()) == 1


SOUND = {
    "a usual grid": runs(loss=LOSS),
    "few tokens, as in Kaplan et al.": runs(loss=LOSS).assign(tokens=np.tile(np.geomspace(2e7, 2e10, 4), 5)),
    "tiny models of bytes": runs(loss=LOSS, vocab_size=256).assign(params=N / 1e3),
    "nats a byte of a good model": runs(loss=LOSS / 5),
}


@pytest.mark.parametrize("frame", SOUND.values(), ids=SOUND.keys())
def test_sound_tables_are_not_doubted(frame: pd.DataFrame) -> None:
    assert not [w for w in table_of(frame).warnings if "no language model" in w or "swapped" in w]
