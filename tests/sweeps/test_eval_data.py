"""Further corpora that finished cells are evaluated on."""

from __future__ import annotations

from pathlib import Path

import pytest

from isoflop.analysis import load_runs
from isoflop.base.errors import UserError
from isoflop.base.json_values import canonical_json
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.plan import make_plan
from isoflop.sweeps.progress.table_files import read_rows as read_typed_rows
from isoflop.sweeps.queue.store import Store
from isoflop.train.data.corpus import Corpus, prepare
from isoflop.train.spec import CellSpec
from tests.support.in_process import Runner
from tests.support.pseudo_english import pseudo_english
from tests.support.small import small_recipe
from tests.support.tables import read_rows


@pytest.fixture
def other(tmp_path: Path) -> str:
    """The name of another text."""
    (tmp_path / "other.txt").write_text(pseudo_english(300_000, seed=1))
    return f"text:{tmp_path / 'other.txt'}"


def test_a_cell_without_further_corpora_has_the_name_it_always_had(corpus: Corpus) -> None:
    plain = CellSpec(small_recipe(corpus), 10)
    assert "eval_data" not in canonical_json(plain)
    assert CellSpec(plain.recipe, 10, eval_data=("more",)).cell_id != plain.cell_id


def test_cells_are_evaluated_on_further_corpora(
    run: Runner, narrow: SweepConfig, other: str, source_name: str, tmp_path: Path
) -> None:
    config = narrow.with_options(eval_data=(source_name, other))
    rows = run(config, tmp_path / "a")
    plain = run(narrow, tmp_path / "b")
    own, further = (column for column in rows[0] if column.startswith("loss_") and column not in plain[0])
    assert [row["loss"] for row in rows] == [row["loss"] for row in plain]
    assert [row[own] for row in rows] == [row["loss"] for row in rows]
    assert all(0 < float(row[further]) != float(row["loss"]) for row in rows)
    assert all(0 < float(row["accuracy"]) < 1 for row in rows)
    table = load_runs(tmp_path / "a")
    assert table.column(further) is not None
    typed = read_typed_rows(Store(tmp_path / "a"), ("runs.csv",))
    assert [row.eval_losses[further] for row in typed] == [float(row[further]) for row in rows]


def test_a_sweep_goes_on_where_its_further_corpora_are_known(
    run: Runner, narrow: SweepConfig, other: str, tmp_path: Path
) -> None:
    config = narrow.with_options(eval_data=(other,))
    run(config, tmp_path / "a")
    before = read_rows(tmp_path / "a")
    run(config, tmp_path / "a")
    assert run.given == []
    assert read_rows(tmp_path / "a") == before
    (tmp_path / "other.txt").write_text(pseudo_english(300_000, seed=2))
    with pytest.raises(UserError, match=r"was evaluated on other text: what text:.* names has changed"):
        run(config, tmp_path / "a")


def test_corpora_that_a_model_cannot_be_evaluated_on_are_refused(
    narrow: SweepConfig, corpus: Corpus, source_name: str
) -> None:
    name = "synthetic:zipf,vocab=64"
    ids = prepare(name, "bytes")
    with pytest.raises(UserError, match=r"eval_data synthetic:.*: has 64 token ids and text:.* has 256"):
        make_plan(narrow.with_options(eval_data=(name,)), corpus, [ids])
    twice = narrow.with_options(eval_data=(source_name, source_name.upper()))
    with pytest.raises(UserError, match="another column is called loss_text_"):
        make_plan(twice, corpus, [corpus, corpus])
    with pytest.raises(UserError, match="another column is called loss_stderr: drop or rename it"):
        make_plan(narrow.with_options(eval_data=("stderr",)), corpus, [corpus])
