"""Measured times of serving beside the forecast: the floor, the range and what a table must have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from isoflop.analysis import load_timings
from isoflop.analysis.costs.estimate import BANDWIDTH_SHARE, SPREAD, STEP_SECONDS
from isoflop.base.errors import UserError
from isoflop.commands.serving import run

PEAK, MEMORY, CACHED = 1e10, 1e9, 4e9
"""FLOP/s and bytes per second of a machine made up."""


def table(*seconds: float, **changes: Any) -> Any:
    """Decode steps that take so long, of 2e6 bytes of weights and 1e7 FLOPs in attention: by hand, 2 ms to
    read the ones and 1 ms to compute the other."""
    row = {
        "d_model": 8,
        "weights": "fp32",
        "phase": "decode",
        "device": "cpu",
        "computed_in": "float32",
        "batch": 1,
        "prompt": 4,
        "linear_flops": 10,
        "attention_flops": 10_000_000,
        "weight_bytes": 2_000_000,
        "cache_bytes": 10,
        "peak_flops_per_second": PEAK,
        "memory_bytes_per_second": MEMORY,
        "cached_bytes_per_second": CACHED,
    }
    rows = [row | {"seconds": 1.1 * fastest, "seconds_fastest": fastest} for fastest in seconds]
    return pd.DataFrame(rows).assign(**changes)


def test_the_floor_is_the_sum_of_what_binds() -> None:
    below, at, above = load_timings(table(2.9e-3, 3.0e-3, 2e-2))
    assert at.forecast.roofline == pytest.approx(3e-3)
    expected = 2e-3 / BANDWIDTH_SHARE + 1e-3 / 0.45 + STEP_SECONDS
    assert at.forecast.expected == pytest.approx(expected)
    assert at.forecast.high == pytest.approx(expected * (1 + SPREAD))
    assert at.cached_roofline == pytest.approx(0.5e-3 + 1e-3)
    assert [x.floor_holds for x in (below, at, above)] == [False, True, True]
    assert [x.in_range for x in (below, at, above)] == [False, False, False]
    assert at.share == pytest.approx(1 / 1.1)
    assert at.cached_share == pytest.approx(0.5 / 1.1)
    (inside,) = load_timings(table(expected))
    assert inside.in_range


def test_the_machine_can_what_it_could_at_any_time() -> None:
    """But for the peak of another format, and another device."""
    slow = {"peak_flops_per_second": 1e9, "memory_bytes_per_second": 1e8}
    other = {"peak_flops_per_second": 1e13, "memory_bytes_per_second": 1e12}
    tables = (
        table(3e-3, **slow),
        table(3e-3),
        table(3e-3, computed_in="bfloat16", peak_flops_per_second=1e11),
        table(3e-3, device="gpu", **other),
    )
    rooflines = [x.forecast.roofline for x in load_timings(pd.concat(tables))]
    assert rooflines == pytest.approx([3e-3, 3e-3, 2.1e-3, 3e-6])


def test_reading_from_a_cache_is_never_counted_slower_than_memory() -> None:
    (found,) = load_timings(table(3e-3, cached_bytes_per_second=1e8))
    assert found.cached_roofline == found.forecast.roofline


def test_the_command_prints_both_phases_and_one_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "serving.csv"
    pd.concat([table(2.9e-3, 2e-2), table(4e-3, phase="prefill")]).to_csv(path, index=False)
    assert run([str(path)]) == 0
    out = capsys.readouterr().out
    assert "prefill: time to the first token" in out
    assert "1 of 2 below the roofline of memory, 0 in the range" in out
    assert run([str(path), "--where", "phase=prefill", "--markdown"]) == 0
    assert "| width | weights | batch | prompt | measured | roofline |" in capsys.readouterr().out
    assert run([str(path), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["timings"]) == 3


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            table(1.0).drop(columns="weight_bytes"),
            "no table of timings: it lacks weight_bytes; isoflop evalu",
        ),
        (table(1.0, cache_bytes=0), "cache_bytes has a value that is not above zero"),
        (table(1.0, seconds="soon"), "seconds has a value that is not above zero"),
    ],
)
def test_what_is_no_table_of_timings_is_refused(frame: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_timings(frame)
