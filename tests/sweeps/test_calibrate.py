"""The short calibration, by real workers, with nothing remembered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isoflop.commands import plan as command
from isoflop.sweeps.grids.segments import Tree
from isoflop.sweeps.queue.board import Board, publish
from isoflop.sweeps.queue.store import Store
from isoflop.train.spec import CellSpec, Segment
from tests.support.small import small_recipe

CONFIG = """
from tests.support.small import small_sweep
SWEEP = small_sweep({source!r}, ladder=(8, 16), sizes=2, centre_width=16)
"""


@pytest.mark.slow
def test_a_plan_measures_a_machine_that_nothing_is_remembered_of(
    source_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(CONFIG.format(source=source_name))
    assert command.run(["mine.py", "--json"]) == 0
    price = json.loads(capsys.readouterr().out)["price"]
    assert price["seconds"] > 0
    remembered = {path.name: path.read_text() for path in (tmp_path / "cache" / "calibration").iterdir()}
    assert len(remembered) == 2
    assert all(json.loads(text)["step_seconds"] > 0 for text in remembered.values())
    assert not list(tmp_path.glob(".calibration-*"))
    assert command.run(["mine.py", "--json"]) == 0  # and what is remembered is taken as it is
    assert json.loads(capsys.readouterr().out)["price"] == price


def test_a_board_that_names_a_cell_by_another_id_is_never_shown(tmp_path: Path) -> None:
    """Workers file results under `cell_id`: a coordinator that asks for another name waits for ever."""
    recipe = small_recipe()
    segment = Segment(recipe, 0, 10, None, None)
    name = segment.segment_id
    board = Board("all", Tree({name: segment}, {name: (name,)}), {name: CellSpec(recipe, 10)}, "none", "")
    with pytest.raises(ValueError, match="is no cell_id"):
        publish(board, Store(tmp_path))
