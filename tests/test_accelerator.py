"""The accelerator's benchmark: its formula, its processes, its tables and its prices."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accelerator.attention import attention, formula
from benchmarks.accelerator.part import Part
from benchmarks.accelerator.pricing import TOPS, Pace, ladder_config, price
from benchmarks.accelerator.tables import NO_TIME, Table
from benchmarks.processes import MeasurementError, Measurer, run_text
from isoflop.running import prepare
from isoflop.sweeps.configs.h200_synthetic import SWEEP
from isoflop.sweeps.plan import make_plan

TABLE = Table("things", ("name", "value", "error"), "What is measured of things.")
PACE = Pace(workers=2, step_flops=(1e10, 1e12), step_seconds=(1e-3, 1e-2), compile_seconds=10.0)


@pytest.mark.parametrize("kernel", ["plain", "xla"])
@pytest.mark.parametrize("masked", [False, True])
def test_kernels_agree_with_the_formula(kernel: str, masked: bool) -> None:
    found = attention(kernel, head_dim=6, context=24, windows=3, masked=masked, dtype="float32")  # pyright: ignore[reportArgumentType]  # a parameter
    assert found["output_error"] < 1e-6
    assert found["gradient_error"] < 1e-5
    assert found["chosen"] == (kernel == "plain")


def test_the_formulas_gradients_are_its_own() -> None:
    draw = np.random.default_rng(0)
    q, k, v, weights = (draw.standard_normal((1, 5, 2, 4)) for _ in range(4))
    documents, step = np.array([[0, 0, 1, 1, 1]]), 1e-6
    _, gradients = formula(q, k, v, weights, documents, 0.7)
    place = (0, 3, 1, 2)
    for number, gradient in enumerate(gradients):
        moved = []
        for sign in (-1, 1):
            inputs = [q.copy(), k.copy(), v.copy()]
            inputs[number][place] += sign * step
            out, _ = formula(inputs[0], inputs[1], inputs[2], weights, documents, 0.7)
            moved.append((out * weights).sum())
        assert gradient[place] == pytest.approx((moved[1] - moved[0]) / (2 * step), rel=1e-5)


def test_a_measurement_that_fails_says_why_and_the_next_one_goes_on() -> None:
    with Measurer("json.loads") as measurer:
        assert measurer.measure({"s": '{"a": 1}'}, 60) == {"a": 1}
        with pytest.raises(MeasurementError, match="JSONDecodeError"):
            measurer.measure({"s": "["}, 60)
        assert measurer.measure({"s": '{"a": 2}'}, 60) == {"a": 2}


def test_a_crash_and_a_hang_are_measurements_that_fail() -> None:
    with Measurer("os._exit") as measurer, pytest.raises(MeasurementError, match="status 3"):
        measurer.measure({"status": 3}, 60)
    with Measurer("subprocess.run") as measurer, pytest.raises(MeasurementError, match="more than 3 s"):
        measurer.measure({"args": ["sleep", "600"]}, 3)
    with pytest.raises(MeasurementError, match="no such file"):
        run_text(["bash", "-c", "echo no such file >&2; exit 1"], 60)
    with pytest.raises(MeasurementError, match="more than 1 s"):
        run_text(["sleep", "600"], 1)


def test_a_row_is_written_for_what_fails_and_for_what_there_is_no_time(tmp_path: Path) -> None:
    part = Part(tmp_path, time.monotonic() + 3600)
    settings = [{"s": '{"value": 2.0}'}, {"s": "["}, {"s": '{"value": 3.0}'}]
    rows = part.measure(TABLE, "json.loads", settings, seconds=1, limit=60, facts={"name": "a"})
    assert [row["value"] for row in rows] == [2.0, 3.0]
    late = replace(part, deadline=time.monotonic())
    assert late.measure(TABLE, "json.loads", settings[:1], seconds=1, limit=60) == []
    written = TABLE.read(tmp_path)
    assert [row["value"] for row in written] == ["2", "", "3", ""]
    assert "JSONDecodeError" in written[1]["error"]
    assert written[-1]["error"] == NO_TIME


def test_a_table_as_markdown_leaves_out_what_is_empty(tmp_path: Path) -> None:
    TABLE.append(tmp_path, {"name": "a|b", "value": 1.23456789})
    TABLE.append(tmp_path, {"name": "c", "value": True})
    assert TABLE.markdown(tmp_path).splitlines() == [
        "| name | value |",
        "| --- | --- |",
        "| a\\|b | 1.2346 |",
        "| c | yes |",
    ]


def test_a_pace_is_interpolated_in_logs_and_extended_in_proportion() -> None:
    assert PACE.seconds(1e9) == pytest.approx(1e-3)
    assert PACE.seconds(1e11) == pytest.approx(math.sqrt(1e-5))
    assert PACE.seconds(1e13) == pytest.approx(0.1)


def test_ladders_of_all_tops_are_priced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path))
    assert ladder_config(TOPS[0]).rates.horizons == SWEEP.rates.horizons
    corpus = prepare(SWEEP.data)
    seconds = []
    for top in TOPS:
        config = ladder_config(top)
        assert config.budgets[-1] == top
        found, plan = price(config, corpus, PACE), make_plan(config, corpus).price()
        assert found.flops == plan.tuning_flops + plan.grid_flops
        # Twice the workers at the same pace in each take half the time.
        assert price(config, corpus, replace(PACE, workers=4)).seconds == pytest.approx(found.seconds / 2)
        seconds.append(found.seconds)
    assert seconds[0] == max(seconds)
