"""Fits of another column than the loss."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isoflop import analysis
from isoflop.analysis import LawFit, load_runs
from isoflop.base.errors import UserError
from isoflop.commands import fit, predict
from tests.support.surfaces import isoflops


@pytest.fixture
def frame() -> pd.DataFrame:
    """IsoFLOPs without noise, with a loss of 2% less on other text and an accuracy."""
    table = isoflops()
    loss = table["loss"]
    extra = {"bits_per_byte": loss / np.log(2) / 4, "accuracy": 1 - loss / 8, "loss_news": 0.98 * loss}
    return table.assign(**extra)


def test_a_metric_is_fitted_in_its_own_unit(frame: pd.DataFrame) -> None:
    loss, bits = (analysis.fit(frame, bootstrap=0, metric=name) for name in ("loss", "bits_per_byte"))
    assert loss.params["E"] is not None
    assert bits.params["E"] == pytest.approx(loss.params["E"] / np.log(2) / 4, rel=1e-4)
    assert bits.params["alpha"] == pytest.approx(loss.params["alpha"], rel=1e-4)
    assert (bits.conventions.metric, bits.conventions.unit) == ("bits_per_byte", "bits per byte")
    assert bits.conventions.loss == (
        "bits_per_byte: in place of the loss, the column 'bits_per_byte', bits per byte"
    )
    assert bits.conventions.axis == "bits_per_byte (bits per byte)"
    assert bits.conventions.short_unit == " bits"
    again = LawFit.from_json(json.loads(json.dumps(bits.to_json())))
    assert again.conventions == bits.conventions


def test_of_an_accuracy_the_error_is_fitted(frame: pd.DataFrame) -> None:
    loss, error = (analysis.fit(frame, bootstrap=0, metric=name) for name in ("loss", "accuracy"))
    assert loss.params["E"] is not None
    assert error.params["E"] == pytest.approx(loss.params["E"] / 8, rel=1e-4)
    assert error.conventions.quantity == "1 - accuracy"
    assert error.conventions.loss == "1 - accuracy: the error 1 - accuracy, of the column 'accuracy', share"
    percent = frame.assign(accuracy=100 * frame["accuracy"])
    with pytest.raises(UserError, match=r"no share of right answers below 1.*divide percentages by 100"):
        load_runs(percent, metric="accuracy")


def test_a_metric_stays_under_other_conventions(frame: pd.DataFrame) -> None:
    table = load_runs(frame, metric="loss_news", where="loss<2.5")
    assert table.loss_R == pytest.approx(0.98 * frame.loc[frame["loss"] < 2.5, "loss"])
    again = table.counted(table.conventions.count, "6nd")
    assert again.loss_R == pytest.approx(table.loss_R)
    assert again.conventions.metric == "loss_news"


def test_a_metric_that_is_not_there_is_answered_with_those_that_could_be_one(frame: pd.DataFrame) -> None:
    with pytest.raises(UserError) as refused:
        load_runs(frame.assign(loss_stderr=0.01, note="text", lr=0.1), metric="loss_new")
    assert str(refused.value) == (
        "--metric loss_new: a data frame has no such column; columns that could be one: loss, bits_per_byte, "
        "accuracy, loss_news"
    )
    with pytest.raises(UserError, match="has no numbers there"):
        load_runs(frame.assign(note="text"), metric="note")
    plain = pd.DataFrame(
        {name: frame[own] for name, own in (("n_params",) * 2, ("n_tokens",) * 2, ("y", "loss"))}
    )
    with pytest.raises(UserError, match="could be one: n_params, n_tokens, y"):
        load_runs(plain, metric="x")


def test_a_table_without_a_loss_has_metrics_all_the_same(frame: pd.DataFrame) -> None:
    several = frame.drop(columns="loss").assign(loss_prose=frame["loss"], loss_code=frame["loss"] / 2)
    with pytest.raises(UserError, match="several columns that could be loss"):
        load_runs(several)
    assert load_runs(several, metric="loss_code").loss_R == pytest.approx(frame["loss"] / 2)


def test_a_metric_that_rises_or_lacks_values_is_told(frame: pd.DataFrame) -> None:
    rising = load_runs(frame.assign(score=1 / frame["loss"]), metric="score")
    assert any("score rises with compute" in warning for warning in rising.warnings)
    holes = frame.assign(loss_news=[np.nan, *frame["loss_news"][1:]])
    with pytest.raises(UserError, match="leave such rows out with --where 'loss_news!='"):
        load_runs(holes, metric="loss_news")
    assert len(load_runs(holes, metric="loss_news", where="loss_news!=")) == len(frame) - 1


def test_commands_name_the_metric(
    frame: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame.to_csv(tmp_path / "runs.csv", index=False)
    runs = str(tmp_path / "runs.csv")
    assert fit.run([runs, "--bootstrap", "0", "--metric", "accuracy", "--out", str(tmp_path)]) == 0
    assert "1 - accuracy: the error" in capsys.readouterr().out
    flops = f"{frame['flops'].max():g}"
    assert predict.run([str(tmp_path / "fit.json"), "--flops", flops]) == 0
    out = capsys.readouterr().out
    assert "1 - accuracy" in out
    assert "share" in out
    assert "nats" not in out
