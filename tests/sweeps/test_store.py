"""A sweep's folder: what it refuses, and what its status says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isoflop.base.durable import CorruptRecordError, new_folder
from isoflop.base.errors import UserError
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.progress.status import StageStatus, read_status
from isoflop.sweeps.queue.store import MAX_CORRUPTIONS, Store


def test_a_folder_knows_its_config(config: SweepConfig, tmp_path: Path) -> None:
    Store.open(tmp_path / "a" / "b", config)
    assert Store.open(tmp_path / "a" / "b", config).config() == config


def test_another_sweeps_folder_is_refused_by_the_field_that_differs(
    config: SweepConfig, tmp_path: Path
) -> None:
    Store.open(tmp_path, config)
    with pytest.raises(
        UserError,
        match=r"holds another sweep: eval_windows is 64 there and 32 here, seed is 0 there and 3 here",
    ):
        Store.open(tmp_path, config.with_options(seed=3, eval_windows=32))


def test_a_folder_of_before_a_field_was_there_is_the_same_sweep(config: SweepConfig, tmp_path: Path) -> None:
    store = Store.open(tmp_path, config)
    facts = store.facts()
    del facts["config"]["architecture"], facts["config"]["retries"]
    store.write_json("sweep.json", facts)
    Store.open(tmp_path, config)
    with pytest.raises(UserError, match="retries is 2 there and 1 here"):
        Store.open(tmp_path, config.with_options(retries=1))


@pytest.mark.parametrize("fact", ["format", "results_version"])
def test_a_folder_of_another_version_is_refused(config: SweepConfig, tmp_path: Path, fact: str) -> None:
    store = Store.open(tmp_path, config)
    store.write_json("sweep.json", store.facts() | {fact: 0})
    with pytest.raises(UserError, match="was made by another version of isoflop"):
        Store.open(tmp_path, config)


def test_numbers_of_a_refusal_are_short(config: SweepConfig, tmp_path: Path) -> None:
    Store.open(tmp_path, config.with_options(budgets=(1e11, 1.6e11)))
    with pytest.raises(
        UserError, match=r"budgets is \[1e\+11, 1\.6e\+11\] there and \[2e\+08, 4e\+08\] here"
    ):
        Store.open(tmp_path, config)


def test_more_budgets_are_the_same_sweep_gone_further(config: SweepConfig, tmp_path: Path) -> None:
    Store.open(tmp_path, config)
    (tmp_path / "summary.json").write_text("{}")
    further = config.with_options(budgets=(*config.budgets, 1e9))
    assert Store.open(tmp_path, further).config() == further
    assert not (tmp_path / "summary.json").exists()
    for other in (config, config.with_options(budgets=(1e8, *config.budgets))):
        with pytest.raises(UserError, match="budgets is"):
            Store.open(tmp_path, other)


def test_a_folder_that_another_process_is_about_to_open_is_joined(
    config: SweepConfig, tmp_path: Path
) -> None:
    (tmp_path / ".sweep.json.4711.0a1b2c3d").write_text('{"format"')  # not renamed yet
    assert Store.open(tmp_path, config).config() == config


def test_a_folder_of_something_else_is_refused_and_left_alone(config: SweepConfig, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(UserError, match="holds something that is not a sweep"):
        Store.open(tmp_path, config)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_folder(config: SweepConfig, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    for path in (tmp_path / "out", tmp_path / "out" / "sub"):
        with pytest.raises(UserError, match=r"can't (make|write to)"):
            Store.open(path, config)


def test_a_folder_one_may_not_write_is_refused(
    config: SweepConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isoflop.sweeps.queue.store.os.access", lambda path, mode: False)
    with pytest.raises(UserError, match="can't write to"):
        Store.open(tmp_path, config)


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "{}", '{"config": 3}'])
def test_a_damaged_folder_is_refused(config: SweepConfig, tmp_path: Path, content: str) -> None:
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(UserError):
        Store.open(tmp_path, config)
    with pytest.raises(UserError):
        read_status(tmp_path)


def test_files_are_replaced_whole(config: SweepConfig, tmp_path: Path) -> None:
    store = Store.open(tmp_path, config)
    store.write_text("runs.csv", "old")
    with pytest.raises(TypeError):
        store.write_text("runs.csv", 3)  # pyright: ignore[reportArgumentType]  # fails half-way on purpose
    assert (tmp_path / "runs.csv").read_text() == "old"
    store.write_json("runs.csv", {"a": 1})
    assert json.loads((tmp_path / "runs.csv").read_text()) == {"a": 1}


def test_a_fresh_folder_has_a_state_too(config: SweepConfig, tmp_path: Path) -> None:
    """As a sweep leaves it that is killed before it has noted its plan."""
    Store.open(tmp_path, config)
    status = read_status(tmp_path)
    assert status.flops_done == 0
    assert status.seconds_left is None
    assert status.stages[1] == StageStatus("grid", {}, 6)


def test_a_folder_that_is_not_there_has_no_state(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        read_status(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"is not a sweep's folder: it has no sweep\.json"):
        read_status(tmp_path)


def test_a_disk_that_damages_a_record_again_and_again_is_not_written_to_for_ever(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for _ in range(MAX_CORRUPTIONS):
        with new_folder(store.cell("one")) as folder:
            (folder / "cell.json").write_text("{}")
        (store.cell("one") / "cell.json").write_text("{ ")
        with pytest.raises(CorruptRecordError):
            store.checked(store.cell("one"))
        assert not store.cell("one").exists()
    with new_folder(store.cell("one")) as folder:
        (folder / "cell.json").write_text("{}")
    (store.cell("one") / "cell.json").write_text("{ ")
    with pytest.raises(UserError, match=r"one was damaged 6 times .*: this disk does not keep"):
        store.checked(store.cell("one"))
