"""docs/laws-measured/serving.md says what the table in docs/results/serving-measured gives."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest

from docs.draw_measured.serving import BATCH, LARGEST, TABLE
from isoflop.analysis import Timing, load_timings
from isoflop.models import family, ledger
from tests.docs.commands import ROOT

PAGE = (ROOT / "docs" / "laws-measured" / "serving.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())
FORMATS = ("fp32", "bf16", "int8")
TIMINGS = {(x.phase, x.d_model, x.weights, x.batch, x.prompt): x for x in load_timings(TABLE)}
FRAME: Any = pd.read_csv(TABLE)


def rows(columns: int) -> list[list[Any]]:
    """The page's rows of so many numbers."""
    lines = [line.strip("|").split("|") for line in PAGE.splitlines() if re.match(r"\| \d", line)]
    return [[float(x.replace(",", "")) for x in line] for line in lines if len(line) == columns]


def of_phase(phase: str) -> list[Timing]:
    return [x for x in TIMINGS.values() if x.phase == phase]


def test_the_times_and_their_rooflines() -> None:
    found = rows(10)
    assert len(found) == 12
    for width, batch, prompt, *own in found:
        first, step = (TIMINGS[phase, width, "fp32", batch, prompt] for phase in ("prefill", "decode"))
        times = [first.seconds, first.forecast.roofline, step.seconds, step.forecast.roofline]
        shares = [first.share, step.share, step.cached_share]
        assert [own[i] for i in (0, 1, 3, 4)] == pytest.approx([x * 1e3 for x in times], rel=6e-3)
        assert [own[i] for i in (2, 5, 6)] == pytest.approx(shares, abs=5.1e-3)


def test_the_formats() -> None:
    found = rows(8)
    assert len(found) == 6
    for width, batch, *numbers in found:
        own = FRAME[(FRAME["d_model"] == width) & (FRAME["phase"] == "decode")]
        megabytes = own.groupby("weights")["weight_bytes"].first()[list(FORMATS)] / 1e6
        steps = [TIMINGS["decode", width, weights, batch, 32].seconds * 1e3 for weights in FORMATS]
        assert numbers == pytest.approx([*megabytes, *steps], rel=6e-3)


def test_counts_of_the_table_are_the_ledgers() -> None:
    """Of every row, and the FLOPs and bytes that do not depend on the clock."""
    for width, own in FRAME.groupby("d_model"):
        config = family(int(width), vocab_size=256, context_length=512)
        parameters, forward = ledger(config).params("non_embedding"), ledger(config).forward
        floats = own[own["weights"] == "fp32"]
        assert set(floats["weight_bytes"]) == {4 * parameters}
        steps = own[own["phase"] == "decode"]
        context = steps["prompt"] + steps["output"] // 2
        per_token = sum(forward.values()) - forward["attention"]
        assert (steps["linear_flops"] == steps["batch"] * per_token).all()
        assert (steps["attention_flops"] == steps["batch"] * context * forward["attention"] // 512).all()
        item = steps["computed_in"].map({"float32": 4, "bfloat16": 2})
        cache = steps["batch"] * context * config.depth * config.kv_width * item
        assert (steps["cache_bytes"] == cache).all()


def test_the_sentences() -> None:
    prefills, steps = of_phase("prefill"), of_phase("decode")
    assert f"No prefill is below it (0 of {len(prefills)})" in WORDS
    assert all(x.floor_holds for x in prefills)
    (below,) = [x for x in steps if not x.floor_holds]
    by = f"{1 - below.seconds_fastest / below.forecast.roofline:.0%}"
    said = f"1 of {len(steps)} has a repeat below the roofline of memory, by {by}: width {below.d_model} in"
    assert f"{said} {below.weights}" in WORDS
    assert all(x.seconds_fastest >= x.cached_roofline for x in TIMINGS.values())
    inside = [[x for x in found if x.in_range] for found in (prefills, steps)]
    assert (
        f"{len(inside[0])} of 54 prefills are in it, all at width {LARGEST}, and {len(inside[1])} of 54"
        in WORDS
    )
    assert {x.d_model for x in inside[0]} == {LARGEST}
    assert all(x.in_range or x.seconds > x.forecast.high for x in TIMINGS.values() if x.floor_holds)
    one, many, longest = (
        TIMINGS["decode", LARGEST, "fp32", batch, prompt]
        for batch, prompt in ((1, 32), (BATCH, 32), (BATCH, 480))
    )
    slower, faster, forecast = numbers(
        r"batch 1 takes (\S+) times the roofline; at batch 16 it makes (\S+) times .* has (\S+) times"
    )
    assert slower == pytest.approx(1 / one.share, abs=0.051)
    assert faster == pytest.approx(BATCH * one.seconds / many.seconds, abs=0.051)
    assert forecast == pytest.approx(BATCH * one.forecast.roofline / many.forecast.roofline, abs=0.51)
    megabytes, milliseconds, by_memory = numbers(
        r"grows by (\S+) MB from .* and a step by (\S+) ms\. At the bandwidth of memory it would be (\S+) ms"
    )
    growing = FRAME.query(
        f"phase == 'decode' and d_model == {LARGEST} and weights == 'fp32' and batch == {BATCH}"
    )
    assert megabytes == pytest.approx(
        (growing["cache_bytes"].max() - growing["cache_bytes"].min()) / 1e6, abs=0.51
    )
    assert milliseconds == pytest.approx((longest.seconds - many.seconds) * 1e3, abs=0.51)
    added = longest.forecast.roofline - many.forecast.roofline
    assert by_memory == pytest.approx(added * 1e3, abs=0.051)
    (quicker,) = numbers(r"has int8 (\S+) times as fast at width 384 and batch 1")
    few = TIMINGS["decode", LARGEST, "int8", 1, 32]
    assert quicker == pytest.approx(one.forecast.roofline / few.forecast.roofline, abs=0.051)


def test_fewer_bits_are_not_faster() -> None:
    index = ["batch", "d_model", "prompt"]
    steps = FRAME[FRAME["phase"] == "decode"].pivot(index=index, columns="weights")
    ratios = steps["seconds"].div(steps["seconds"]["fp32"], axis=0)[["bf16", "int8"]]
    low, high = numbers(r"bf16 and int8 take (\S+) to (\S+) times as long as fp32 at batch 1")
    assert (low, high) == pytest.approx(
        (ratios.loc[1].min(axis=None), ratios.loc[1].max(axis=None)), abs=0.051
    )
    low, high = numbers(r"int8's median is (\S+) to (\S+) of fp32's at the two smaller widths")
    small = ratios["int8"].loc[BATCH].drop(LARGEST, level="d_model")
    assert (low, high) == pytest.approx((small.min(), small.max()), abs=5.1e-3)
    less = steps[ratios["int8"] < 1]
    assert (less["seconds_high"]["int8"] > less["seconds_low"]["fp32"]).all()


def test_the_machine_and_its_noise() -> None:
    peak, memory, within = numbers(
        r"did (\S+) GFLOP/s .* read (\S+) GB/s of memory at most.* spans (\S+) of the median"
    )
    assert peak == pytest.approx(FRAME["peak_flops_per_second"].max() / 1e9, abs=0.51)
    assert memory == pytest.approx(FRAME["memory_bytes_per_second"].max() / 1e9, abs=0.051)
    spans = (FRAME["seconds_high"] - FRAME["seconds_low"]) / FRAME["seconds"]
    assert within == pytest.approx(spans.median(), abs=5.1e-3)
    busy: Any = pd.read_csv(TABLE.parent / "busy.csv")
    keys = ["d_model", "phase", "weights", "batch", "prompt"]
    both = FRAME.merge(busy, on=keys, suffixes=("", "_busy"))
    assert len(both) == len(FRAME) == len(busy)
    median, fastest = numbers(r"its medians are (\S+) times these, its fastest repeats (\S+) times")
    assert median == pytest.approx((both["seconds_busy"] / both["seconds"]).median(), abs=0.051)
    ratios = both["seconds_fastest_busy"] / both["seconds_fastest"]
    assert fastest == pytest.approx(ratios.median(), abs=0.051)
    again = load_timings(busy)
    assert sum(not x.floor_holds for x in again.of_phase("decode")) == 1
    assert all(x.floor_holds for x in again.of_phase("prefill"))
    assert all(x.seconds_fastest >= x.cached_roofline for x in again)


def numbers(pattern: str) -> list[float]:
    """Those of the page's only sentence of that form."""
    (found,) = re.finditer(pattern, WORDS)
    return [float(x) for x in found.groups()]
