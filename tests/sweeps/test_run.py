"""Sweeps from end to end, in this process."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from isoflop.analysis import load_runs
from isoflop.base.errors import UserError
from isoflop.base.json_values import from_json
from isoflop.sweeps.grids.config import Rates, SweepConfig
from isoflop.sweeps.grids.tuning import TunedRates
from isoflop.sweeps.plan import make_plan
from isoflop.sweeps.progress.status import read_status
from isoflop.sweeps.queue.store import MAX_TRIES, Store
from isoflop.sweeps.queue.task import Task
from isoflop.train.data.corpus import Corpus
from isoflop.train.loop import Trained, TrainingRun, run_segment
from isoflop.train.result import Evaluation
from isoflop.train.spec import Segment
from tests.support.in_process import Runner
from tests.support.tables import read_rows, timeless


def losses(rows: list[dict[str, str]]) -> dict[str, str]:
    """Loss by cell, as written."""
    return {row["cell_id"]: row["loss"] for row in rows}


@pytest.fixture
def finished(run: Runner, narrow: SweepConfig, tmp_path: Path) -> list[dict[str, str]]:
    """The rows of a small sweep in `tmp_path`."""
    return run(narrow, tmp_path)


@pytest.mark.usefixtures("finished")
def test_a_finished_sweep_run_again_trains_nothing(run: Runner, narrow: SweepConfig, tmp_path: Path) -> None:
    before = (tmp_path / "runs.csv").read_bytes()
    run(narrow, tmp_path)
    assert run.given == []
    assert (tmp_path / "runs.csv").read_bytes() == before


def test_the_same_sweep_elsewhere_has_bitwise_the_same_losses(
    run: Runner, narrow: SweepConfig, tmp_path: Path, finished: list[dict[str, str]]
) -> None:
    again = run(narrow, tmp_path / "elsewhere")
    assert timeless(again) == timeless(finished)
    for row in finished:
        windows = Path("cells") / row["cell_id"] / "windows.npy"
        assert (tmp_path / windows).read_bytes() == (tmp_path / "elsewhere" / windows).read_bytes()


def test_rows_agree_with_the_files_beside_them(tmp_path: Path, finished: list[dict[str, str]]) -> None:
    for row in finished:
        folder = tmp_path / "cells" / row["cell_id"]
        windows = np.load(folder / "windows.npy")
        curve = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
        assert windows.shape == (64,)
        assert float(row["loss"]) == pytest.approx(windows.mean(dtype=float), rel=1e-12)
        assert curve[-1]["step"] == int(row["steps"])
        assert curve[-1]["flops"] == int(row["flops"])
        assert row["status"] == "finished"


def test_more_compute_means_less_loss(finished: list[dict[str, str]]) -> None:
    found = [float(row["loss"]) for row in finished]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 2.5


def test_a_branched_cell_is_the_cell_trained_alone(
    run: Runner, narrow: SweepConfig, tmp_path: Path, finished: list[dict[str, str]]
) -> None:
    cell = make_plan(narrow, run.corpus).grid[-1].cell
    alone = run_segment(Segment(cell.recipe, 0, cell.steps, cell.steps, None), run.corpus, None)
    tail = np.mean(alone.losses[-round(0.05 * cell.steps) :], dtype=float)
    assert float(finished[-1]["train_loss"]) == pytest.approx(tail, rel=1e-12)


def test_cells_of_one_trunk_say_so(finished: list[dict[str, str]]) -> None:
    assert len({row["trunk_id"] for row in finished}) == 1
    assert len({row["cell_id"] for row in finished}) == 3
    assert sum(float(row["flops_spent"]) for row in finished) < sum(float(row["flops"]) for row in finished)


@pytest.mark.parametrize("keep", ["none", "trunks", "all"])
def test_checkpoints_are_kept_as_asked(run: Runner, narrow: SweepConfig, tmp_path: Path, keep: str) -> None:
    config = narrow.with_options(keep=keep)  # pyright: ignore[reportArgumentType]  # one of the Literal's
    run(config, tmp_path)
    plan = make_plan(config, run.corpus)
    segments = plan.tree(plan.grid).segments
    kept = {s for s in segments if Store(tmp_path).checkpoint(s).exists()}
    wanted = {
        "none": set(),
        "trunks": {s for s in segments if segments[s].total is None},
        "all": set(segments),
    }
    assert kept == wanted[keep]
    sizes = [f.stat().st_size for f in tmp_path.glob("checkpoints/*/**/*") if f.is_file()]
    assert keep == "none" or sum(sizes) > 0


@pytest.fixture(scope="module")
def undisturbed(
    corpus: Corpus, narrow: SweepConfig, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, str]]:
    """The rows of the sweep when all goes well, whatever checkpoints it keeps and wherever it cuts."""
    return timeless(Runner(corpus)(narrow, tmp_path_factory.mktemp("undisturbed")))


@pytest.mark.parametrize(("keep", "failing"), [("none", 0), ("none", 1), ("none", 3), ("trunks", 2)])
def test_a_failed_task_leaves_a_row_and_is_tried_again(
    run: Runner,
    narrow: SweepConfig,
    tmp_path: Path,
    failing: int,
    keep: str,
    undisturbed: list[dict[str, str]],
) -> None:
    config = narrow.with_options(keep=keep)  # pyright: ignore[reportArgumentType]  # one of the Literal's

    grid = make_plan(config, run.corpus)
    doomed = list(grid.tree(grid.grid).segments)[failing]

    def refuse(task: Task) -> str | None:
        return "the roof fell in" if task.segment.segment_id == doomed else None

    rows = run(config, tmp_path, refuse)
    assert [task.segment.segment_id for task in run.given].count(doomed) == MAX_TRIES
    failed = [row for row in rows if row["status"] == "failed"]
    assert failed
    assert {row["reason"] for row in failed} == {"RuntimeError: the roof fell in"}
    assert all(row["status"] in ("failed", "finished") for row in rows)
    assert any("the roof fell in" in line for line in run.said)
    assert read_status(tmp_path).failures == ("RuntimeError: the roof fell in",)
    assert timeless(run(config, tmp_path)) == undisturbed
    assert read_status(tmp_path).failures == ()


def test_a_diverged_cell_is_a_row_and_is_not_trained_again(
    run: Runner, narrow: SweepConfig, tmp_path: Path
) -> None:
    wild = narrow.with_options(rates=Rates(1e30), retries=0)
    rows = run(wild, tmp_path)
    assert {row["status"] for row in rows} == {"diverged"}
    assert {row["loss"] for row in rows} == {""}
    assert all("loss not finite at step" in row["reason"] for row in rows)
    assert read_status(tmp_path).state == "finished"
    assert run(wild, tmp_path) == rows
    assert run.given == []


def test_a_sweep_may_go_further_and_trains_only_what_is_new(
    run: Runner, narrow: SweepConfig, tmp_path: Path
) -> None:
    first = run(narrow.with_options(budgets=narrow.budgets[:2]), tmp_path)
    trained = {task.segment.segment_id for task in run.given}
    rows = run(narrow, tmp_path)
    assert run.given
    assert not trained & {task.segment.segment_id for task in run.given}
    shared = ("cell_id", "loss", "budget", "lr_rule")
    assert [[r[k] for k in shared] for r in rows[:2]] == [[r[k] for k in shared] for r in first]
    assert read_status(tmp_path).state == "finished"


def test_a_sweep_goes_on_past_a_cell_that_diverged(
    run: Runner, narrow: SweepConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest budget's own stretch of trunk, and no other, loses its way."""
    from isoflop.sweeps.workers import execute as module

    class SickRun(TrainingRun):
        def trained(self) -> list[Trained]:
            (trained,) = super().trained()
            if self.segments[0].total is None and self.segments[0].stop == last:
                trained.losses[-1] = np.nan
            return [trained]

    grid = make_plan(narrow, run.corpus).grid
    last = grid[-1].cell.recipe.schedule.decay_start(grid[-1].cell.steps)
    monkeypatch.setattr(module, "TrainingRun", SickRun)
    rows = run(narrow.with_options(retries=0), tmp_path)
    assert [row["status"] for row in rows] == ["finished", "finished", "diverged"]


def test_a_cell_that_diverges_is_tried_again_at_lower_rates_under_other_seeds(
    run: Runner, narrow: SweepConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cell's own rate and half of it are too high for the largest budget; a quarter isn't."""
    from isoflop.sweeps.workers import execute as module

    class SickRun(TrainingRun):
        def trained(self) -> list[Trained]:
            (trained,) = super().trained()
            (segment,) = self.segments
            if segment.stop == last.cell.steps and segment.recipe.optimizer.peak_lr > 0.3 * rate:
                trained.losses[-1] = np.nan
            return [trained]

    last = make_plan(narrow, run.corpus).grid[-1]
    rate = last.cell.recipe.optimizer.peak_lr
    monkeypatch.setattr(module, "TrainingRun", SickRun)
    rows = run(narrow, tmp_path)
    assert [row["status"] for row in rows] == ["finished", "finished", "diverged", "diverged", "finished"]
    assert [row["role"] for row in rows] == ["grid"] * 3 + ["retry"] * 2
    assert len({row["init_seed"] for row in rows[2:]}) == 3
    assert [float(row["lr"]) for row in rows[2:]] == pytest.approx([rate, rate / 2, rate / 4], rel=1e-5)
    assert {row["budget"] for row in rows[2:]} == {rows[2]["budget"]}
    assert rows[-1]["lr_rule"] == f"0.25 * {rows[2]['lr_rule']}"
    assert len(load_runs(tmp_path)) == 3
    assert run(narrow, tmp_path) == rows
    assert run.given == []


def test_a_loss_that_is_no_number_is_never_a_result(
    run: Runner, narrow: SweepConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last update may be the one that breaks the model, after the last training loss was taken."""
    monkeypatch.setattr(
        "isoflop.sweeps.workers.execute.evaluate",
        lambda *_: Evaluation(*np.full((2, 64), np.nan, np.float32)),
    )
    narrow = narrow.with_options(retries=0)
    rows = run(narrow, tmp_path)
    assert {row["status"] for row in rows} == {"diverged"}
    assert run(narrow, tmp_path) == rows
    assert run.given == []


class Stopped(BaseException):
    """Stands for a signal."""


@pytest.mark.parametrize("after", range(6))
def test_a_sweep_stopped_anywhere_and_run_again_is_the_same(
    run: Runner, narrow: SweepConfig, tmp_path: Path, after: int, undisturbed: list[dict[str, str]]
) -> None:
    config = narrow.with_options(checkpoint_steps=60, keep="none")
    done: list[str] = []

    def stop(task: Task) -> None:
        if len(done) == after:
            raise Stopped
        done.append(task.segment.segment_id)

    with pytest.raises(Stopped):
        run(config, tmp_path / "stopped", stop)
    assert timeless(run(config, tmp_path / "stopped")) == undisturbed
    assert not {task.segment.segment_id for task in run.given} & set(done)


@pytest.mark.slow
def test_stages_in_order(run: Runner, config: SweepConfig, tmp_path: Path) -> None:
    """Rates tuned at one width, the grid by the rule, then checks at the minima of both budgets; the grid
    under both seeds, the checks under the first."""
    rates = Rates(0.06, 0.5, tried=(0.5, 1.0, 2.0), widths=(8,), horizons=(1.5e4,), seeds=1)
    config = config.with_options(
        rates=rates, budgets=(1e8, 2e8), ladder=(8, 16), sizes=2, centre_width=8, seeds=2, checks=True
    )
    rows = run(config, tmp_path)
    tuning, checks = read_rows(tmp_path, "tuning.csv"), read_rows(tmp_path, "checks.csv")
    summary = json.loads((tmp_path / "summary.json").read_text())
    rule = summary["learning_rate"]
    tuned = from_json(TunedRates, rule["tuned"])
    (line,) = [line for line in run.said if line.startswith("learning rate: ")]
    assert line.startswith(f"learning rate: {tuned.rates}; known to ")
    assert "% at 1e+08 FLOPs and " in line
    assert [row["role"] for row in rows] == ["grid"] * 8
    assert [row["init_seed"] for row in rows] == ["0", "1"] * 4
    assert {row["role"] for row in tuning} == {"tune"}
    assert {row["role"] for row in checks} == {
        "fresh_cosine",
        "rate_half",
        "rate_double",
    }
    for row in rows:
        horizon = config.horizon(float(row["n_tokens"]))
        assert float(row["lr"]) == pytest.approx(tuned.rates.at(int(row["d_model"]), horizon), rel=1e-5)
        assert row["lr_rule"] == rule["rule"] == str(tuned.rates)
    for budget, check in zip(config.budgets, rule["checked"], strict=True):
        mean = {
            width: statistics.fmean(float(r["loss"]) for r in own)
            for width in config.ladder
            if (own := [r for r in rows if (float(r["budget"]), int(r["d_model"])) == (budget, width)])
        }
        best = min(mean, key=lambda width: mean[width])
        assert (check["budget"], check["width"]) == (budget, best)
        place = (str(best), f"{budget:g}", "0")
        (same,) = [r for r in rows if (r["d_model"], f"{float(r['budget']):g}", r["init_seed"]) == place]
        assert check["loss"] == pytest.approx(float(same["loss"]))
        own = [row for row in checks if float(row["budget"]) == budget]
        assert Counter(row["role"] for row in own) == {"fresh_cosine": 1, "rate_half": 1, "rate_double": 1}
        assert {row["init_seed"] for row in own} == {"0"}
        assert {row["d_model"] for row in own} == {str(best)}
        (half,) = [float(row["loss"]) for row in own if row["role"] == "rate_half"]
        assert check["rate_half"] == pytest.approx(half)
    flops = summary["flops"]
    spent = sum(float(row["flops_spent"]) for row in (*rows, *checks, *tuning))
    assert (
        flops["total"]
        == pytest.approx(spent)
        == pytest.approx(flops["grid"] + flops["tuning"] + flops["checks"])
    )
    run(config, tmp_path)
    assert run.given == []


def test_each_finished_cell_is_logged_once(run: Runner, narrow: SweepConfig, tmp_path: Path) -> None:
    rows = run(narrow, tmp_path)
    run(narrow, tmp_path)
    logged = [json.loads(line) for line in (tmp_path / "cells.jsonl").read_text().splitlines()]
    assert sorted(cell["row"]["cell_id"] for cell in logged) == sorted(row["cell_id"] for row in rows)
    for cell in logged:
        row = next(row for row in rows if row["cell_id"] == cell["row"]["cell_id"])
        assert {k: "" if v is None else str(v) for k, v in cell["row"].items()} == row
        assert cell["curve"][-1]["step"] == cell["config"]["steps"]


SLOW_TRACKER = """
import time
def open_tracker(sweep, folder, warn):
    class Slow:
        address = ""
        def log_cell(self, config, curve, row):
            time.sleep(0.3)
            (folder / f"logged-{row.cell_id}-{time.monotonic_ns()}").touch()
        def close(self):
            pass
    return Slow()
"""


def test_a_slow_tracker_hears_of_each_cell_once(run: Runner, narrow: SweepConfig, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW_TRACKER)
    run(narrow.with_options(trackers=(str(tmp_path / "slow.py"),)), tmp_path / "out")
    assert len(list((tmp_path / "out").glob("logged-*"))) == 3


BROKEN_TRACKER = """
def open_tracker(sweep, folder, warn):
    class Broken:
        address = ""
        def log_cell(self, config, curve, row):
            raise ConnectionError("the line is dead\\nquite")
        def close(self):
            pass
    return Broken()
"""


def test_a_broken_tracker_is_dropped_with_one_warning_and_caught_up_later(
    run: Runner, narrow: SweepConfig, tmp_path: Path
) -> None:
    plugin = tmp_path / "flaky.py"
    plugin.write_text(BROKEN_TRACKER)
    config = narrow.with_options(trackers=(str(plugin), "jsonl"))
    rows = run(config, tmp_path / "out")
    assert {row["status"] for row in rows} == {"finished"}
    assert len([line for line in run.said if "the line is dead" in line]) == 1
    plugin.write_text(SLOW_TRACKER)
    run(config, tmp_path / "out")
    assert run.given == []
    assert len(list((tmp_path / "out").glob("logged-*"))) == 3
    assert len((tmp_path / "out" / "cells.jsonl").read_text().splitlines()) == 3


def test_a_disk_that_fills_up_stops_the_sweep_in_one_line(
    run: Runner, narrow: SweepConfig, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"no disk space left in .*: make room and run the same command"):
        run(narrow, tmp_path, lambda task: "OSError: [Errno 28] No space left on device")


def test_the_state_of_a_sweep_on_its_way(run: Runner, narrow: SweepConfig, tmp_path: Path) -> None:
    states = []

    def look(task: Task) -> None:
        states.append(read_status(tmp_path))

    run(narrow, tmp_path, look)
    states.append(read_status(tmp_path))
    done = [state.flops_done for state in states]
    finished = [state.stages[1].cells.get("finished", 0) for state in states]
    assert done == sorted(set(done))
    assert done[0] == 0
    assert done[-1] == states[-1].flops_total == states[0].flops_total
    assert states[0].stages[1].cells == {"pending": 3}
    assert finished == sorted(finished)
    assert finished[-1] == 3
    assert states[-1].state == "finished" != states[0].state
    assert states[2].seconds_left > 0


def test_a_cell_that_learnt_nothing_is_marked(
    run: Runner, narrow: SweepConfig, corpus: Corpus, tmp_path: Path
) -> None:
    """Its gradients are cut to nothing, so that it stays near where it began: it finishes, and counts."""
    rows = run(narrow.with_options(clip=1e-12, weight_decay=0.0, rates=Rates(1e-6), budgets=(1e8,)), tmp_path)
    (row,) = rows
    assert row["status"] == "finished"
    assert float(row["baseline_loss"]) == corpus.baseline_loss < float(row["loss"])
    assert (
        row["reason"]
        == f"loss {float(row['loss']):.3f} is above {corpus.baseline_loss:.3f}, that of token frequencies"
    )
    (line,) = [line for line in run.said if "learnt nothing" in line]
    assert line.startswith("warning: 1 finished cell has learnt nothing: at width 8 and 1e+08 FLOPs loss 5.")


def test_a_cell_that_learnt_something_is_not(run: Runner, narrow: SweepConfig, tmp_path: Path) -> None:
    rows = run(narrow, tmp_path)
    assert {row["reason"] for row in rows} == {""}
    assert not any("learnt nothing" in line for line in run.said)
