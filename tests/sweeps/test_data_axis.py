"""The corpus as an axis: the grid on several texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from isoflop.analysis import load_runs
from isoflop.base.errors import UserError
from isoflop.sweeps.grids.config import Axis, SweepConfig
from isoflop.sweeps.kept_models import kept_models
from isoflop.sweeps.progress.summary import read_summary
from isoflop.sweeps.progress.table_files import read_rows as read_typed_rows
from isoflop.sweeps.queue.store import Store
from isoflop.train.data.corpus import prepare
from tests.support.in_process import Runner
from tests.support.pseudo_english import pseudo_english
from tests.support.tables import read_rows


def test_the_grid_is_trained_on_each_corpus(
    run: Runner, narrow: SweepConfig, source_name: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.txt"
    other.write_text(pseudo_english(300_000, seed=1).upper())
    mixed = f"mix:{source_name}=0.25+text:{other}=0.75"
    plain = narrow.with_options(budgets=narrow.budgets[:2], eval_data=(source_name, f"text:{other}"))
    config = plain.with_options(axes=(Axis("data", (source_name, mixed)),), keep="all")
    rows = run(config, tmp_path / "both")
    alone = run(plain, tmp_path / "alone")
    assert [row["data"] for row in rows] == [source_name] * 2 + [mixed] * 2
    # On its own text each is the cell that it is without an axis, to the bit.
    assert [(row["cell_id"], row["loss"]) for row in rows[:2]] == [
        (row["cell_id"], row["loss"]) for row in alone
    ]
    own, further = (column for column in rows[0] if column.startswith("share_"))
    assert [(row[own], row[further]) for row in rows] == [("1.0", "0.0")] * 2 + [("0.25", "0.75")] * 2
    assert not [column for column in alone[0] if column.startswith("share_")]
    # Trained on the other text for the most part, a model is better there.
    losses = [float(row[further.replace("share_", "loss_")]) for row in rows]
    assert max(losses[2:]) < min(losses[:2])
    typed = read_typed_rows(Store(tmp_path / "both"), ("runs.csv",))
    assert [row.shares for row in typed] == [{own: float(r[own]), further: float(r[further])} for r in rows]
    assert len(load_runs(tmp_path / "both", where=f"{further}>0.5").frame) == 2
    models, _ = kept_models(tmp_path / "both")
    assert [model.corpus.spec.digest for model in models] == [row["data_digest"] for row in rows]
    assert read_summary(Store(tmp_path / "both")).dataset.name == f"{source_name}; {mixed}"
    assert run(config, tmp_path / "both") == rows
    assert run.given == []
    other.write_text(pseudo_english(300_000, seed=2).upper())
    with pytest.raises(UserError, match="was evaluated on other text"):
        run(config, tmp_path / "both")
    with pytest.raises(UserError, match=r"was trained on other text: what mix:.* names has changed"):
        run(config.with_options(eval_data=()), read_only_copy(tmp_path / "both", config))
    assert read_rows(tmp_path / "both") == rows


def read_only_copy(folder: Path, config: SweepConfig) -> Path:
    """A folder of the sweep without further corpora, which remembers what its texts were."""
    store = Store.open(folder.parent / "copy", config.with_options(eval_data=()))
    store.note("axis_corpora", Store(folder).facts()["axis_corpora"])
    return store.path


def test_an_axis_of_corpora_is_read_from_the_command_line_as_it_is_written() -> None:
    plain = Axis("data", ("wiki-intro", "mix:wiki-intro=0.5+wiki-intro:fr=0.5"))
    commas = Axis("data", ("synthetic:zipf,vocab=64", "wiki-intro"))
    assert str(plain) == "data=wiki-intro,mix:wiki-intro=0.5+wiki-intro:fr=0.5"
    assert str(commas) == 'data=["synthetic:zipf,vocab=64", "wiki-intro"]'
    for axis in (plain, commas, Axis("experts", (1, 4))):
        assert Axis.parse(str(axis)) == axis


def test_an_unknown_corpus_of_an_axis_is_refused(run: Runner, narrow: SweepConfig, tmp_path: Path) -> None:
    axis = Axis("data", ("wiki-intro", "mix:wiki-intro=0.5+wiki-intro:fr=0.6"))
    with pytest.raises(UserError, match=r"thousandths above 0 that sum to 1, and not 0\.5, 0\.6"):
        prepare(axis.values[1], "bytes")
    with pytest.raises(UserError, match="unknown dataset 'imagenet'"):
        run(narrow.with_options(axes=(Axis("data", ("imagenet",)),)), tmp_path)
