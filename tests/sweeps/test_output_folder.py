"""Which folder a sweep goes to, and what keeps out of a folder that holds something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from isoflop.base.errors import UserError
from isoflop.sweeps.grids.adaptive import Adaptive
from isoflop.sweeps.grids.config import SweepConfig, load_config
from isoflop.sweeps.output_folder import LONGEST, default_folder
from isoflop.train.data.corpus import prepare
from tests.support.in_process import Runner
from tests.support.pretended import pretend
from tests.support.pseudo_english import pseudo_english
from tests.support.small import small_sweep
from tests.support.tables import read_rows

__all__ = ["pretend"]

DEMO = load_config("cpu-demo")


@pytest.mark.parametrize(
    ("changes", "adaptive", "name"),
    [
        ({}, None, "cpu-demo"),
        ({"budgets": (1e11, 3e11)}, None, "cpu-demo-budgets-1e11-3e11"),
        ({"seed": 7, "batch_size": 3}, None, "cpu-demo-batch-size-3-seed-7"),
        ({"checks": False, "max_epochs": 2.0}, None, "cpu-demo-no-checks-max-epochs-2"),
        ({"rates": replace(DEMO.rates, coefficient=0.003)}, None, "cpu-demo-rates-coefficient-0.003"),
        ({"data": "text:many/*.txt"}, None, "cpu-demo-data-text-many-.txt"),
        ({}, Adaptive(), "cpu-demo-adaptive"),
        ({"seed": 1}, Adaptive("loss@1e13", 0.01), "cpu-demo-seed-1-adaptive-loss-1e13"),
        ({"name": "mine"}, None, "mine"),
    ],
)
def test_a_sweep_that_differs_gets_a_folder_of_its_own(
    changes: dict[str, object], adaptive: Adaptive | None, name: str
) -> None:
    config = replace(DEMO, **changes)  # pyright: ignore[reportArgumentType]  # by the fields' names
    assert default_folder(config, DEMO, adaptive) == Path("outputs") / name


def test_changes_that_are_long_are_a_hash_and_still_tell_two_sweeps_apart() -> None:
    many = replace(DEMO, budgets=tuple(1.23456e11 * k for k in range(1, 9)))
    folders = {default_folder(replace(many, seed=seed), DEMO) for seed in (0, 1)}
    assert len(folders) == 2
    assert all(len(folder.name) <= len("cpu-demo-") + LONGEST for folder in folders)


def test_a_config_by_value_is_compared_with_the_known_one_of_its_name() -> None:
    assert default_folder(DEMO).name == "cpu-demo"
    assert default_folder(replace(DEMO, seed=1)).name == "cpu-demo-seed-1"
    assert default_folder(small_sweep("text:nowhere", seed=1)).name == "small"


@pytest.fixture
def config(config: SweepConfig) -> SweepConfig:
    """Wide enough for an adaptive sweep to begin."""
    return config.with_options(budgets=(2e8, 4e8, 8e8), ladder=(8, 16, 24), sizes=3, trackers=())


LOOSE = Adaptive(half_width=10.0, max_flops=1e11)


@pytest.mark.usefixtures("pretend")
@pytest.mark.parametrize(
    ("first", "second"), [(None, LOOSE), (LOOSE, None), (LOOSE, replace(LOOSE, target="b"))]
)
def test_a_sweep_of_another_kind_keeps_out_of_the_folder(
    run: Runner,
    config: SweepConfig,
    tmp_path: Path,
    first: Adaptive | None,
    second: Adaptive | None,
) -> None:
    run(config, tmp_path / "out", adaptive=first)
    before = (tmp_path / "out" / "runs.csv").read_bytes()
    with pytest.raises(UserError, match="holds a sweep of another kind"):
        run(config, tmp_path / "out", adaptive=second)
    assert (tmp_path / "out" / "runs.csv").read_bytes() == before
    run(config, tmp_path / "out", adaptive=first)
    assert run.given == []


@pytest.mark.usefixtures("pretend")
def test_text_that_has_changed_is_another_sweep(run: Runner, tmp_path: Path) -> None:
    """`text:many/*.txt` names what lies there now: trained again it would replace the run table."""
    text = tmp_path / "words.txt"
    text.write_text(pseudo_english(300_000), encoding="utf-8")
    source = f"text:{text}"
    config = small_sweep(source, trackers=())
    Runner(prepare(source, "bytes"))(config, tmp_path / "out")
    before = (tmp_path / "out" / "runs.csv").read_bytes()
    text.write_text(pseudo_english(290_000), encoding="utf-8")
    changed = Runner(prepare(source, "bytes"))
    with pytest.raises(UserError, match=r"was trained on other text: what text:.* names has changed since"):
        changed(config, tmp_path / "out")
    assert changed.given == []
    assert (tmp_path / "out" / "runs.csv").read_bytes() == before
    text.write_text(pseudo_english(300_000), encoding="utf-8")
    again = Runner(prepare(source, "bytes"))
    again(config, tmp_path / "out")
    assert again.given == []


@pytest.mark.usefixtures("pretend")
def test_the_run_table_loses_no_run_while_a_sweep_goes_further(
    run: Runner, config: SweepConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(config, tmp_path / "out")
    before = {row["cell_id"] for row in read_rows(tmp_path / "out")}
    tables: list[set[str]] = []

    def stop(task: object) -> None:
        tables.append({row["cell_id"] for row in read_rows(tmp_path / "out")})
        if len(tables) > 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config.with_options(budgets=(*config.budgets, 1.6e9)), tmp_path / "out", refuse=stop)
    tables.append({row["cell_id"] for row in read_rows(tmp_path / "out")})
    assert all(before <= table for table in tables)


@pytest.mark.usefixtures("pretend")
def test_runs_that_a_table_would_lose_are_kept_beside_it_and_named(
    run: Runner, config: SweepConfig, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(config, out)
    lines = (out / "runs.csv").read_text().splitlines(keepends=True)
    stray = lines[1].replace(lines[1][:16], "f" * 16, 1)
    table = "".join([*lines, stray])
    (out / "runs.csv").write_text(table)
    run(config, out)
    (kept,) = out.glob("runs-*.csv")
    assert kept.read_text() == table
    assert any(
        f"1 runs of the table before are not this sweep's: that table is kept as {kept.name}" in said
        for said in run.said
    )
    assert (out / "runs.csv").read_text() == "".join(lines)
