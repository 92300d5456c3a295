"""Loss curves from files as people have them, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import UserError, load_curves, load_runs
from isoflop.analysis.curves.data.rates import rates_of
from isoflop.analysis.sources import public
from tests.support.loss_curves import PEAK, WARMUP, simulated, write

GOOD = "step,lr,loss\n10,1e-3,3.0\n20,1e-3,2.9\n30,1e-3,2.8\n40,5e-4,2.7\n50,1e-4,2.6\n"


def written(tmp_path: Path, text: str, name: str = "curve.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "header",
    ["step,lr,loss", "_step,train/learning_rate,eval/loss", "Iteration,learning-rate,Train Loss",
     "trainer/global_step,optim/lr,val_loss"],
)  # fmt: skip
def test_one_curve_a_file_under_usual_names(tmp_path: Path, header: str) -> None:
    (curve,), _ = load_curves(written(tmp_path, GOOD.replace("step,lr,loss", header)))
    assert curve.name == "curve"
    np.testing.assert_array_equal(curve.steps_R, [10, 20, 30, 40, 50])
    np.testing.assert_array_equal(curve.loss_R, [3.0, 2.9, 2.8, 2.7, 2.6])
    assert len(curve.rates_T) == 51
    assert curve.rates_T[35] == pytest.approx(7.5e-4)


def test_columns_of_other_names_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("step,lr,loss", "n,eta,L"))
    with pytest.raises(UserError, match=r"no column of the loss; name one with --columns loss=\.\.\."):
        load_curves(path)
    (curve,), _ = load_curves(path, columns={"step": "n", "lr": "eta", "loss": "L"})
    assert curve.loss_R[0] == 3.0


def test_a_folder_a_long_table_and_a_frame_are_the_same(tmp_path: Path) -> None:
    curves = simulated("tissue", ("constant", "cosine"))
    for curve in curves:
        write(curve, tmp_path / f"{curve.name}.csv")
    frames = [pd.read_csv(tmp_path / f"{curve.name}.csv").assign(run=curve.name) for curve in curves]
    long = pd.concat(frames)
    long.to_csv(tmp_path / "long.txt", index=False)
    (tmp_path / "long.txt").rename(tmp_path.parent / "long.csv")
    for source in (
        tmp_path,
        tmp_path.parent / "long.csv",
        long,
        [tmp_path / "constant.csv", tmp_path / "cosine.csv"],
    ):
        found, notes = load_curves(source)
        assert [curve.name for curve in found] == ["constant", "cosine"]
        for read, curve in zip(found, curves, strict=True):
            np.testing.assert_allclose(read.loss_R, curve.loss_R)
            # Rates between rows are interpolated; the warm-up, before the first, is linear.
            np.testing.assert_allclose(read.rates_T, curve.rates_T, atol=4e-3 * PEAK)
        assert notes == () or "taken to rise linearly" in notes[0]
    assert [c.name for c in load_curves(tmp_path, select="cos*")[0]] == ["cosine"]
    with pytest.raises(UserError, match="no loss curve is called nosuch: there are constant, cosine"):
        load_curves(tmp_path, select="nosuch")


def test_rows_without_a_loss_tell_the_schedule(tmp_path: Path) -> None:
    path = written(tmp_path, "step,lr,loss\n0,0,\n1,1,4\n2,1,\n3,1,3.5\n4,.5,3.2\n5,.2,\n6,.1,3.1\n")
    (curve,), (note,) = load_curves(path)
    np.testing.assert_array_equal(curve.steps_R, [1, 3, 4, 6])
    np.testing.assert_allclose(curve.rates_T, [0, 1, 1, 1, 0.5, 0.2, 0.1])
    assert note == "curve: 3 of 7 rows have no loss and count for the schedule alone"


class TestRates:
    def rates(self, steps: list[int], rate: list[float], last: int, warmup: int | None = None) -> np.ndarray:
        return rates_of(np.array(steps), np.array(rate), last, warmup, "curve")[0]

    def test_a_level_rate_that_changes_jumps_at_the_row_that_shows_it(self) -> None:
        found = self.rates([0, 10, 20, 30], [1, 1, 0.1, 0.1], 30)
        assert set(found[:20]) == {1.0}
        assert set(found[20:]) == {0.1}

    def test_a_rate_that_keeps_falling_is_interpolated(self) -> None:
        np.testing.assert_allclose(self.rates([0, 4, 8], [1, 0.5, 0.0], 8), np.linspace(1, 0, 9))

    def test_before_the_first_row(self) -> None:
        # As far from zero as from the second row, and level: logged every ten steps from the tenth on.
        assert set(self.rates([10, 20, 30], [1, 1, 1], 30)) == {1.0}
        # Far from zero: a warm-up that was not logged.
        found = self.rates([100, 110, 120], [1, 1, 1], 120)
        np.testing.assert_allclose(found[:100], np.arange(1, 101) / 101)
        # Rising still: the line from zero goes on.
        found = self.rates([10, 20, 30], [0.5, 1, 1], 30)
        np.testing.assert_allclose(found[:10], 0.5 * np.arange(1, 11) / 11)
        # As it is said.
        found = self.rates([100, 110, 120], [1, 1, 1], 120, warmup=50)
        np.testing.assert_allclose(found[:50], np.arange(1, 51) / 50)
        assert set(found[50:]) == {1.0}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("step,loss\n1,3\n2,2.9\n3,2.8\n4,2.7\n", r"no column of the learning rate \(lr\)"),
        ("lr,loss\n1,3\n1,2.9\n1,2.8\n1,2.7\n", "no column of the step"),
        (GOOD.replace("30,", "15,"), r"line 4: step 15 after 20: sort the rows by step"),
        (GOOD.replace("30,", "20,"), r"line 4: step 20 after 20"),
        ("step,lr,loss\n1,1,3\n", r"has 1 rows with a loss: a curve takes 4"),
        (GOOD.replace("2.8", "nan"), r"line 4: the loss is nan, so that the run diverged there"),
        (GOOD.replace("2.8", "inf"), r"line 4: the loss is inf"),
        (GOOD.replace("2.8", "-2"), "a loss must be a positive number"),
        (GOOD.replace("1e-3", "").replace("5e-4", "").replace("1e-4", ""), "the learning rate is empty"),
        (GOOD.replace("5e-4", "-1"), "must not be negative"),
        (GOOD.replace("30,", "30.5,"), "a step must be a whole number"),
        (GOOD.replace("40,", "x,"), "a step must be a whole number"),
        (GOOD.replace("50,", "5000000000,"), "is beyond 50,000,000"),
        ("step,lr,val_loss,train_loss\n1,1,3,3\n", r"val_loss or train_loss\? choose with --columns loss="),
        ("", "is empty"),
    ],
)  # fmt: skip
def test_what_is_no_curve_is_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as refusal:
        load_curves(written(tmp_path, text))
    assert "\n" not in str(refusal.value)
    assert "curve.csv" in str(refusal.value)


def test_a_bad_row_of_a_long_table_is_placed(tmp_path: Path) -> None:
    rows = [f"{run},{step},1e-3,{3 - step / 100}" for run in "ab" for step in (1, 2, 3, 4, 5)]
    rows[7] = "b,1,1e-3,2.9"
    path = written(tmp_path, "\n".join(["run,step,lr,loss", *rows, ""]))
    with pytest.raises(UserError, match=r"curve.csv, b, line 9: step 1 after 2"):
        load_curves(path)


@pytest.mark.parametrize(
    ("source", "named", "words"),
    [
        ("nosuch.csv", {}, "no loss curve at .*nosuch.csv"),
        (".", {}, "holds no table"),
        ("good.csv", {"warmup_steps": 50}, "lies within the 50 steps of --warmup-steps"),
        ("good.csv", {"columns": {"n": "step"}}, r"--columns n=\.\.\.: a loss curve has the columns step"),
        ("good.csv", {"columns": {"lr": "eta"}}, "has no column 'eta'"),
    ],
)
def test_wrong_options(tmp_path: Path, source: str, named: dict, words: str) -> None:
    if source == "good.csv":
        written(tmp_path, GOOD, source)
    with pytest.raises(UserError, match=words):
        load_curves(tmp_path / source, **named)


def test_a_sweeps_own_cells(tmp_path: Path) -> None:
    """Cells of one trunk: the longest gives the trunk, the other its decay alone."""
    runs, short, long = [], *simulated("tissue", ("wsd:steps=4000,decay=0.25", "wsd:decay=0.25"), rows=2)
    for name, curve in (("short", short), ("long", long)):
        folder = tmp_path / "cells" / name
        folder.mkdir(parents=True)
        steps = len(curve.rates_T)
        edges = np.linspace(0, steps, 101).astype(int)
        points = [
            {
                "step": int(b),
                "tokens": int(b) * 10,
                "lr": float(curve.rates_T[b - 1]),
                "train_loss": 3 - b / 1e5,
            }
            for b in edges[1:]
        ]
        (folder / "curve.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))
        runs.append(f"{name},t,finished,1000,{steps * 10}")
    runs.append("lost,u,failed,1000,99")
    header = "cell_id,trunk_id,status,n_params_non_embedding,n_tokens"
    (tmp_path / "runs.csv").write_text("\n".join([header, *runs, ""]))
    found, notes = load_curves(tmp_path)
    assert [curve.name for curve in found] == ["N1000_long", "N1000_short"]
    assert len(found[0].steps_R) == 100
    assert found[0].steps_R[0] == 39  # the middle of steps 0 to 79
    assert found[1].steps_R.min() >= 3000 - 40
    for read, curve in zip(found, (long, short), strict=True):
        np.testing.assert_allclose(
            read.rates_T[WARMUP:], curve.rates_T[WARMUP : len(read.rates_T)], atol=0.02 * PEAK
        )
    assert notes == ()


def test_public_curves_are_no_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="public:multipower holds loss curves, not runs: isoflop fit --curves"
    ):
        load_runs("public:multipower")
    table = public._table("multipower")
    assert len(table.files) == 27
    places = []
    for path, _ in table.files:
        place = tmp_path / table.file_name(path)
        place.write_text(GOOD)
        places.append(place)
    monkeypatch.setattr(public, "read_public", lambda name: (table.convert(places), {}))
    found, _ = load_curves("public:multipower", select="400M_*")
    assert len(found) == 9
    assert dataclasses.replace(found[0], name="") is not None
    assert found[0].name == "400M_constant_24000"
