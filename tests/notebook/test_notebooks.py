"""The package in a notebook: what is shown, what is taken, what is drawn, and the page about it."""

from __future__ import annotations

import doctest
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

import isoflop
from isoflop.analysis import api as calls
from tests.support import simulate

PAGE = Path(__file__).parents[2] / "docs" / "notebooks.md"
QUICK: dict[str, Any] = {"bootstrap": 20, "starts": 16}
LONGEST = 2000
"""Characters of a repr."""


@pytest.fixture(autouse=True)
def _no_windows() -> Any:
    with matplotlib.rc_context():
        matplotlib.use("Agg")
        yield
        plt.close("all")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return simulate.grid(0)


@pytest.fixture(scope="module")
def fitted(frame: pd.DataFrame) -> isoflop.LawFit:
    return isoflop.fit(frame, **QUICK)


def test_reprs_are_short_and_html_is_escaped(
    frame: pd.DataFrame, fitted: isoflop.LawFit, tmp_path: Path
) -> None:
    path = tmp_path / "<script>runs.csv"
    frame.to_csv(path, index=False)
    table = isoflop.load_runs(path)
    shown: list[Any] = [
        table,
        fitted,
        isoflop.predict(fitted, 1e12),
        isoflop.compare(fitted, fitted),
        isoflop.fit(table, approach=2, **QUICK),
    ]
    for value in shown:
        assert type(value).__name__ in repr(value).splitlines()[0]
        assert len(repr(value)) < LONGEST
        assert "<script>" not in value._repr_html_()
        assert "<table>" in value._repr_html_()
    assert "&lt;script&gt;" in table._repr_html_()
    assert "alpha" in repr(fitted)


def test_the_same_fit_of_a_frame_a_file_a_folder_and_a_table(
    frame: pd.DataFrame, fitted: isoflop.LawFit, tmp_path: Path
) -> None:
    frame.to_csv(tmp_path / "runs.csv", index=False)
    for runs in (tmp_path / "runs.csv", str(tmp_path), isoflop.load_runs(frame), [frame]):
        assert isoflop.fit(runs, **QUICK).params == pytest.approx(fitted.params, rel=1e-6)
    options = isoflop.FitOptions(law="gadre", bootstrap=0)
    assert isoflop.fit(frame, options, starts=16).law == "gadre"
    assert isoflop.fit(frame, law="gadre", bootstrap=0.0, starts=16).law == "gadre"


def test_data_frames_come_out(fitted: isoflop.LawFit, frame: pd.DataFrame) -> None:
    out = fitted.to_frame()
    alpha: dict[Any, Any] = out.loc["alpha"].to_dict()
    assert alpha["low"] <= alpha["value"] <= alpha["high"]
    assert not np.any(isoflop.compare(fitted, fitted).to_frame()["difference"])
    prediction = isoflop.predict(fitted, 1e12)
    assert prediction.to_frame().loc["loss", "value"] == prediction.loss
    assert len(isoflop.fit(frame, approach=2, **QUICK).budgets_frame()) >= 2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda frame: isoflop.plan("nope"),
        lambda frame: isoflop.plan(3),  # pyright: ignore[reportArgumentType]  # that is the test
        lambda frame: isoflop.sweep(None),  # pyright: ignore[reportArgumentType]
        lambda frame: isoflop.fit("nowhere.csv"),
        lambda frame: isoflop.fit(42),  # pyright: ignore[reportArgumentType]
        lambda frame: isoflop.fit(None),  # pyright: ignore[reportArgumentType]
        lambda frame: isoflop.fit(frame, lw="chinchilla"),
        lambda frame: isoflop.fit(frame, bootstrap="many"),
        lambda frame: isoflop.fit(frame, law=3),
        lambda frame: isoflop.fit(frame, delta="small"),
        lambda frame: isoflop.fit(frame, 3),  # pyright: ignore[reportArgumentType]
        lambda frame: isoflop.fit(isoflop.load_runs(frame), where="n_params=1"),
        lambda frame: isoflop.FitOptions(bootstrap=20.5),  # pyright: ignore[reportArgumentType]
        lambda frame: isoflop.compare(1, 2),  # pyright: ignore[reportArgumentType]
        lambda frame: isoflop.predict("nowhere.json", 1e12),
        lambda frame: isoflop.predict(3, 1e12),  # pyright: ignore[reportArgumentType]
        lambda frame: isoflop.status("nowhere"),
        lambda frame: isoflop.plot_tuning(frame),
        lambda frame: isoflop.plot_residuals(frame, ax=plt.figure().add_subplot(), **QUICK),
    ],
)
def test_every_mistake_is_a_user_error(wrong: Callable[[pd.DataFrame], Any], frame: pd.DataFrame) -> None:
    with pytest.raises(isoflop.UserError) as caught:
        wrong(frame)
    assert "\n" not in str(caught.value)


def test_figures_are_drawn_on_axes_of_ones_own_and_give_their_data(
    frame: pd.DataFrame, fitted: isoflop.LawFit
) -> None:
    figure, (left, right) = plt.subplots(1, 2)
    assert isoflop.plot_isoflops(frame, ax=left, **QUICK) is left
    assert isoflop.plot_surface(frame, ax=right, fit=fitted) is right
    data = isoflop.plot_data(left)
    assert set(data.columns) == {"axes", "series", "x", "y"}
    assert np.isin(np.round(frame["loss"], 6), np.round(data["y"], 6)).all()
    new = isoflop.plot_residuals(frame, fit=fitted)
    assert all(isinstance(each, Axes) for each in new)
    assert plt.gcf() is new[0].figure is not figure  # pyplot's own, which a notebook shows


OF_A_SWEEP = {"plot_curves", "plot_tuning"}
"""Figures that want a sweep's folder."""
FIGURES = sorted(name for name in dir(isoflop) if name.startswith("plot_") and name != "plot_data")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FIGURES if name not in OF_A_SWEEP])
def test_every_figure_of_a_table_can_be_drawn_alone(name: str, frame: pd.DataFrame) -> None:
    drawn = getattr(isoflop, name)(frame, **QUICK)
    axes = drawn if isinstance(drawn, list) else [drawn]
    assert all(isinstance(each, Axes) for each in axes)
    assert len(isoflop.plot_data(axes[0])) > 5


def test_the_pages_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    assert len(blocks) >= 4
    exec("\n".join(blocks), {})


def test_the_page_names_every_figure() -> None:
    assert {*FIGURES, "plot_data"} <= set(re.findall(r"plot_\w+", PAGE.read_text()))


@pytest.mark.slow
def test_the_examples_in_docstrings_run(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame.to_csv(tmp_path / "runs.csv", index=False)
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(calls, optionflags=doctest.ELLIPSIS)
    assert found.attempted >= 8
    assert found.failed == 0
