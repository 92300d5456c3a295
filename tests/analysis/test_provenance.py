"""Every fit says what made it and of which table; two that differ in it say so; a stale one is noticed."""

from __future__ import annotations

import dataclasses
import hashlib
import html
import json
from pathlib import Path

import pandas as pd
import pytest

from isoflop.analysis import FitOptions, LawFit, compare, fit, load_runs, predict, report, table_of
from isoflop.analysis.provenance import differences, is_stale
from isoflop.base.provenance import provenance
from tests.support import simulate

QUICK = FitOptions(bootstrap=0, starts=16)
TRAINED = {"isoflop_version": "0.1.0+g1234567", "jax_version": "0.10.2", "host": "node1"}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return simulate.grid(0).assign(**TRAINED)


@pytest.fixture(scope="module")
def fitted(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> LawFit:
    """A fit of a file."""
    path = tmp_path_factory.mktemp("table") / "runs.csv"
    frame.to_csv(path, index=False)
    return fit(load_runs(path), QUICK)


def test_a_fit_says_what_made_it_and_of_which_table(fitted: LawFit) -> None:
    assert fitted.provenance is not None
    made_by, own = fitted.provenance, provenance().to_json()
    assert {**made_by.to_json(), "time": None, "table": None} == {**own, "time": None, "table": None}
    table = made_by.table
    assert table.sha256 == hashlib.sha256(Path(table.source).read_bytes()).hexdigest()
    assert table.trained == {key: (value,) for key, value in TRAINED.items()}
    assert LawFit.from_json(json.loads(json.dumps(fitted.to_json()))).provenance == made_by


def test_a_data_frame_and_several_tables_have_a_hash_of_their_content(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    one, other = table_of(frame), table_of(frame.iloc[::-1])
    assert one.sha256 == table_of(frame.copy()).sha256
    assert one.sha256 != other.sha256
    assert one.counted("total", "exact").sha256 == one.sha256
    for name in "ab":
        frame.assign(sweep=name).to_csv(tmp_path / f"{name}.csv", index=False)
    single, both = load_runs(tmp_path / "a.csv"), load_runs([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert None not in (single.sha256, both.sha256)
    assert single.sha256 != both.sha256


def test_an_old_fit_is_read_and_says_nothing(fitted: LawFit) -> None:
    data = fitted.to_json()
    del data["provenance"]
    old = LawFit.from_json(data)
    assert old.provenance is None
    assert differences(old.provenance, fitted.provenance) == []


def test_a_comparison_says_which_versions_differ(frame: pd.DataFrame, fitted: LawFit) -> None:
    assert differences(fitted.provenance, fitted.provenance) == []
    newer = fit(table_of(frame.assign(jax_version="0.11.1", host="node2")), QUICK)
    said = compare(fitted, newer).warnings
    assert "trained with different versions of jax: 0.10.2, 0.11.1" in said
    assert not any("isoflop" in line or "node2" in line for line in said)
    assert newer.provenance is not None
    packages = newer.provenance.packages | {"jax": "0.99.0"}
    made_by = dataclasses.replace(newer.provenance, packages=packages)
    elsewhere = dataclasses.replace(newer, provenance=made_by)
    assert any("fitted with different versions of jax" in line for line in compare(newer, elsewhere).warnings)


def test_one_table_of_several_versions_of_jax_is_noticed(frame: pd.DataFrame) -> None:
    mixed = frame.assign(jax_version=["0.10.2"] * 4 + ["0.11.1"] * (len(frame) - 4))
    assert any("jax_version (0.10.2, 0.11.1)" in line for line in table_of(mixed).warnings)


def test_a_fit_is_stale_once_the_table_beside_it_has_changed(frame: pd.DataFrame, tmp_path: Path) -> None:
    assert not is_stale(tmp_path)
    frame.to_csv(tmp_path / "runs.csv", index=False)
    (tmp_path / "fit.json").write_text(json.dumps(fit(load_runs(tmp_path), QUICK).to_json()))
    assert not is_stale(tmp_path)
    frame.iloc[:-1].to_csv(tmp_path / "runs.csv", index=False)
    assert is_stale(tmp_path)
    (tmp_path / "fit.json").write_text("{}")
    assert not is_stale(tmp_path)


@pytest.mark.slow
def test_the_page_ends_with_where_it_comes_from(frame: pd.DataFrame, tmp_path: Path) -> None:
    page = report(table_of(frame), tmp_path, FitOptions(bootstrap=20, starts=16), ()).html.read_text()
    assert html.escape(f"isoflop {provenance().version} with Python") in page
    assert "Runs trained by isoflop 0.1.0+g1234567 and jax 0.10.2 on node1." in page


def test_a_prediction_of_a_fit_whose_table_has_changed_says_so(tmp_path: Path) -> None:
    runs = simulate.grid(0)
    runs.to_csv(tmp_path / "runs.csv", index=False)
    fitted = fit(tmp_path / "runs.csv", FitOptions(bootstrap=0, starts=16))
    (tmp_path / "fit.json").write_text(json.dumps(fitted.to_json()))
    assert not [line for line in predict(tmp_path, 1e12).warnings if "has changed" in line]
    runs[1:].to_csv(tmp_path / "runs.csv", index=False)
    for path in (tmp_path, tmp_path / "fit.json"):
        assert [line for line in predict(path, 1e12).warnings if "has changed" in line]
