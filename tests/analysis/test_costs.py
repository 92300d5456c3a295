"""Costs of training and serving: published worked figures, exact arithmetic, and what must rise or fall."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoflop.analysis import (
    ForecastOptions,
    UserError,
    find_device,
    forecast,
    known_devices,
    planned_run,
    predict,
)
from isoflop.analysis.costs.architectures.model_shape import ForecastModel, ModelShape
from isoflop.analysis.costs.architectures.public_models import find_model, known_models
from isoflop.analysis.costs.architectures.shape_rule import ShapeOptions, ruled_shape
from isoflop.analysis.costs.forecast import given_model
from isoflop.analysis.costs.precision import BYTES
from isoflop.analysis.costs.serving import Replica, cost_per_million, serving_point
from isoflop.analysis.costs.training import kept_per_token, training_flops, training_memory
from isoflop.analysis.result import Intervals
from tests.support.fits import conventions, law_fit
from tests.support.surfaces import BESIROGLU

BOOK = "jax-ml/scaling-book @ 0819a7d"
TPU_V5E = dataclasses.replace(find_device("tpu-v5e"), gigabytes_per_second=820.0)
"""With the bandwidth that the book's tables are reckoned with: 8.2e11 bytes a second; Google states 819."""


def costs(what: Any = None, **options: Any) -> Any:
    """A forecast; its parts are None or not by what was asked for."""
    return forecast(what, **options)


def replica(model: ForecastModel, device: Any, devices: int = 1, **options: Any) -> Replica:
    """A replica of a model on a device, which may be named."""
    found = find_device(device) if isinstance(device, str) else device
    return Replica.of(model, found, devices, ForecastOptions(**options))


def given_n(n_params: float, **sizes: Any) -> ForecastModel:
    """A model of so many parameters, as --n-params gives it."""
    return given_model(n_params, ForecastOptions(n_params=n_params, **sizes))


# Worked figures of others.


def test_memory_of_weights_by_the_rule_of_thumb() -> None:
    """70B in fp16: 168 GB by M = P Z 1.2."""
    found = costs(n_params=70e9, weights="fp16", device="h200")
    assert found.serving.rule_of_thumb_bytes == pytest.approx(168e9)


@pytest.mark.parametrize(
    ("model", "kv", "tokens", "kv_bytes"),
    [
        ("llama-3-8b", "fp16", 1, 131_072),  # 2 x 32 layers x 8 heads x 128 x 2 bytes
        ("llama-3-70b", "int8", 1, 163_840),  # BOOK, applied-inference.md: "160e3 bytes in int8"
        ("llama-2-13b", "bf16", 8192, 6.7e9),  # BOOK, inference.md
    ],
)
def test_kv_cache_of_public_models(model: str, kv: str, tokens: int, kv_bytes: float) -> None:
    found = find_model(model).shape.kv_bytes_per_token(BYTES[kv]) * tokens
    assert found == pytest.approx(kv_bytes, rel=0 if tokens == 1 else 5e-3)


@pytest.mark.parametrize(("device", "milliseconds"), [("h100", 4.78), ("h200", 3.33)])
def test_reading_the_weights_bounds_a_step(device: str, milliseconds: float) -> None:
    """8B in bf16: the bytes of the weights over bandwidth."""
    weights = replica(given_n(8e9), device).step(1, 0).roofline
    assert weights * 1000 == pytest.approx(milliseconds, abs=0.005)
    # The tokens of Llama 3 8B look their embeddings up, a fifteenth of its weights, and read the rest alone.
    assert replica(find_model("llama-3-8b"), device).step(1, 0).roofline / weights == pytest.approx(
        0.938, abs=1e-3
    )


@pytest.mark.parametrize(
    ("device", "options", "critical"),
    [
        ("h100", {}, 295),  # 989.4e12 / 3.35e12
        ("tpu-v5e", {}, 240),  # BOOK, inference.md
        ("tpu-v5e", {"weights": "int8", "compute": "bf16"}, 120),  # BOOK, applied-inference.md
    ],
)
def test_critical_batch(device: str, options: dict[str, Any], critical: int) -> None:
    assert replica(given_n(8e9), device, **options).critical_batch == pytest.approx(critical, rel=5e-3)


@pytest.mark.parametrize(
    ("share", "milliseconds"),
    [
        # BOOK, inference.md, the table of Llama 2 13B, and the one after it with a fifth of the KV cache.
        (1.0, (4.98, 12.13, 20.30, 36.65, 69.33, 249.09)),
        (0.2, (4.17, 5.60, 7.23, 10.50, 17.04, 52.99)),
    ],
)
def test_steps_of_llama_2_13b_on_eight_tpus(share: float, milliseconds: tuple[float, ...]) -> None:
    model = given_n(13e9, layers=40, width=5120, heads=40, kv_heads=40, head_dim=128)
    server = replica(model, TPU_V5E, 8)
    found = [server.step(batch, 8192 * share).roofline * 1000 for batch in (1, 8, 16, 32, 64, 240)]
    assert found == pytest.approx(milliseconds, rel=2e-3)


def test_a_step_of_30b_in_int8_on_sixteen_tpus() -> None:
    """BOOK, inference.md, pop quiz: 100 kB of KV cache a token, 2.5 ms at batch 4 and 21 ms at batch 256."""
    device = dataclasses.replace(TPU_V5E, gigabytes_per_second=810.0)
    model = given_n(30e9, layers=50, width=6144, heads=48, kv_heads=8, head_dim=125)
    server = replica(model, device, 16, weights="int8", kv="int8", compute="bf16")
    assert server.kv_per_token == 100e3
    assert server.step(4, 8192).roofline == pytest.approx(2.5e-3, rel=0.03)
    assert server.step(256, 8192).roofline == pytest.approx(21e-3, rel=0.02)


def test_llama_3_70b_in_int8() -> None:
    """BOOK, applied-inference.md: 112 GB at batch 32; 17 ms a step and 1,882 tokens/s on 8 chips (1,882 is
    32 over the rounded 17 ms: exactly it is 1,836)."""
    device = dataclasses.replace(TPU_V5E, gigabytes_per_second=810.0)
    model = given_n(70e9, layers=80, width=8192, kv_heads=8, head_dim=128)
    server = replica(model, device, 8, weights="int8", kv="int8")
    assert server.needed(32, 8192) == pytest.approx(112e9, rel=0.01)
    assert server.step(32, 8192).roofline == pytest.approx(17e-3, abs=5e-4)
    assert 32 / server.step(32, 8192).roofline == pytest.approx(1836, rel=1e-3)


@pytest.mark.parametrize(("weights", "chips"), [("bf16", 16), ("int8", 8), ("int4", 4)])
def test_the_smallest_slice_for_70b(weights: str, chips: int) -> None:
    """BOOK, applied-inference.md: 4x4, 4x2 and 2x2 of TPU v5e, with the KV cache negligible."""
    found = costs(n_params=70e9, device="tpu-v5e", weights=weights, kv=weights, prompt=1, output=2,
                     memory_fraction=1.0)  # fmt: skip
    assert found.serving.devices == chips


def test_prefill_of_70b() -> None:
    """BOOK, applied-inference.md: 8,192 tokens on 16 TPU v5e at 40% take .91 s; attention, which it leaves
    out, adds 8%."""
    model = given_n(70e9, layers=80, width=8192, heads=64, kv_heads=8, head_dim=128)
    server = replica(model, "tpu-v5e", 16)
    peak = 16 * 197e12
    attention = model.shape.attention_flops(4096) * 8192 / peak
    assert (server.prefill(8192).roofline - attention) / 0.4 == pytest.approx(0.91, abs=0.005)
    assert attention / server.prefill(8192).roofline == pytest.approx(0.07, abs=0.005)


def test_cost_and_energy_of_tokens() -> None:
    """$2 an hour at 1000 tokens/s: $.556 a million; joules a token: watts over tokens a second."""
    assert cost_per_million(2, 1000) == pytest.approx(0.556, abs=5e-4)
    point = costs("llama-3-8b", price=2, batch=8, only="serving").serving.points[0]
    rate = point.tokens_per_second.expected
    assert point.joules_per_token.expected == pytest.approx(700 / rate)
    assert point.cost_per_million.expected == pytest.approx(cost_per_million(2, rate))


def test_training_of_llama_3_70b() -> None:
    """BOOK, applied-training.md: 6.3e24 FLOPs; 44 days on 8,960 TPU v5p at 40%; 140 GB of weights in bf16,
    560 GB of moments in fp32."""
    found = costs(n_params=70e9, tokens=15e12, device="tpu-v5p", devices=8960, utilization=0.4)
    assert found.training.flops.six_nd == pytest.approx(6.3e24)
    assert found.training.hours.expected * 3600 == pytest.approx(3.8e6, rel=0.01)
    assert found.training.hours.expected / 24 == pytest.approx(44, abs=0.5)
    assert found.training.memory.weights * 8960 == pytest.approx(140e9)
    assert found.training.memory.moments * 8960 == pytest.approx(560e9)


def test_flops_of_gpt_3() -> None:
    """175B parameters on 300B tokens: 3.15e23 by 6ND and 3.22e23 with attention; recomputed 4.29e23, which a
    public calculator gives by default: no budget to compare with."""
    options = ForecastOptions(n_params=175e9, tokens=3e11)
    assert training_flops(given_n(175e9), options, 3e11).six_nd == pytest.approx(3.15e23)
    options = ForecastOptions(sequence_length=2048)
    plain, again = (training_flops(find_model("gpt-3-175b"), options, 3e11, x) for x in (False, True))
    assert plain.executed == pytest.approx(3.22e23, rel=5e-3)
    assert again.executed == pytest.approx(4.29e23, rel=5e-3)
    assert again.six_nd == plain.six_nd


def test_activations_of_korthikantis_block() -> None:
    """Korthikanti et al. (2022), equation 2: 34 s b h bytes a layer, of which 2 are dropout's masks."""
    shape = ModelShape(
        layers=1, width=1024, heads=8, kv_heads=8, head_dim=128, ff_width=4096, vocab=1, gated=False
    )
    assert kept_per_token(shape, 2, recompute=False) == 32 * 1024


@pytest.mark.parametrize(
    ("name", "n_params"),
    [("llama-2-7b", 6_738_415_616), ("llama-2-13b", 13_015_864_320), ("llama-3-8b", 8_030_261_248),
     ("llama-3-70b", 70_553_706_496), ("llama-3-405b", 405_853_388_800)],
)  # fmt: skip
def test_parameters_of_public_models(name: str, n_params: int) -> None:
    """The numbers of parameters in their published weights."""
    assert find_model(name).n_params == n_params


def test_the_rule_gives_the_shapes_it_is_named_after() -> None:
    eight = ruled_shape(8.03e9, ShapeOptions())
    assert eight == find_model("llama-3-8b").shape
    seventy, known = ruled_shape(70.55e9, ShapeOptions()), find_model("llama-3-70b").shape
    assert dataclasses.replace(seventy, layers=80) == known
    assert abs(seventy.layers - 80) <= 1


# A server, simulated.


def simulated(batch: int, output: int, prefill: float, step: float) -> tuple[float, float]:
    """Seconds per token after the first, and tokens a second, of a server that stops for each new prompt.

    The requests in flight are staggered evenly: the others' prompts come while one takes its steps.
    """
    left = [1 + k * (output - 1) // batch for k in range(batch)]  # steps that each has to take yet
    started = [0.0] * batch
    now, done = 0.0, list[float]()
    for _ in range(40 * output):
        now += step
        left = [n - 1 for n in left]
        for k in [k for k in range(batch) if left[k] == 0]:
            done.append((now - started[k]) / (output - 1))
            now += prefill
            started[k], left[k] = now, output - 1
    settled = done[len(done) // 2 :]
    return sum(settled) / len(settled), len(done) * output / now


@pytest.mark.parametrize("batch", [1, 4, 16])
def test_time_per_token_and_rate_are_those_of_a_simulated_server(batch: int) -> None:
    options = ForecastOptions(output=33, prompt=(512,), batch=(batch,))
    point = serving_point(replica(find_model("llama-3-8b"), "h100"), 512, batch, options)
    tpot, rate = simulated(batch, 33, point.ttft.expected, point.step.expected)
    assert point.tpot.expected == pytest.approx(tpot, rel=0.02)
    assert point.tokens_per_second.expected == pytest.approx(rate, rel=0.03)


# Servers that others measured.

MEASURED = Path(__file__).parents[2] / "docs" / "results" / "serving" / "tensorrt-llm.csv"


def measured() -> Iterator[tuple[dict[str, str], Any]]:
    """Each row of the table with what is forecast for it, as docs/results/serving says."""
    with MEASURED.open() as file:
        for row in csv.DictReader(file):
            prompt, output = int(row["prompt"]), int(row["output"])
            options = ForecastOptions(weights="fp8", kv="fp8", output=output, memory_fraction=0.95)
            server = Replica.of(
                find_model(row["model"]), find_device(row["device"]), int(row["devices"]), options
            )
            batch = min(server.largest_batch(prompt + output / 2), 2048)
            yield row, serving_point(server, prompt, batch, options)


def test_throughput_is_near_what_servers_reach() -> None:
    """60 published measurements: none beyond the roofline, 9 of 10 within the range, the middle at it."""
    ratios = []
    for row, point in measured():
        rate = float(row["tokens_per_second"])
        assert rate < point.tokens_per_second.roofline
        ratios.append(rate / point.tokens_per_second.expected)
    assert len(ratios) == 60
    assert np.median(ratios) == pytest.approx(1, abs=0.03)
    assert np.mean([abs(ratio - 1) < 0.3 for ratio in ratios]) > 0.9
    assert min(ratios) > 0.55


@pytest.mark.parametrize(
    ("model", "hours", "kwh"), [("llama-2-7b", 184_320, 73_728), ("llama-2-13b", 368_640, 147_456)]
)
def test_hours_and_energy_that_were_reported_of_training(model: str, hours: float, kwh: float) -> None:
    """Touvron et al. (2023), table 2: GPU hours on A100 of 400 W. 6ND is then .39 and .38 of peak, at the
    slow end of what is expected."""
    found = costs(model, device="a100", devices=1000, only="training").training
    utilization = found.device_hours.roofline / hours
    assert 0.37 < utilization < 0.40
    assert hours < 1.1 * found.device_hours.high
    again = costs(model, device="a100", devices=1000, only="training", utilization=utilization).training
    assert again.kwh.expected == pytest.approx(kwh)


# Devices.

DEVICES = {
    # The tables of cores, bandwidth and power that were gathered for this project, each row seen twice.
    "a100": (312, 2039, 400), "h100": (989, 3350, 700), "h200": (989, 4800, 700), "l40s": (362, 864, 350),
    "b200": (2250, 7700, 1000), "b300": (2250, 7750, 1100), "gb200": (2500, 8000, 1200),
    "gb300": (2500, 8000, 1400), "rtx-4090": (165, 1008, 450), "a10": (125, 600, 150),
    "mi300x": (1307, 5300, 750), "tpu-v5e": (197, 819, None), "tpu-v5p": (459, 2765, None),
}  # fmt: skip
"""Dense bf16 TFLOP/s, GB/s and watts."""


def test_the_devices_are_those_of_the_table() -> None:
    assert set(known_devices()) == set(DEVICES)


@pytest.mark.parametrize("name", known_devices())
def test_a_device_and_the_source_of_each_figure(name: str) -> None:
    device = find_device(name)
    bf16, bandwidth, watts = DEVICES[name]
    assert device.dense_teraflops["bf16"] == pytest.approx(bf16, rel=2e-3)
    assert (device.gigabytes_per_second, device.watts) == (bandwidth, watts)
    figures = [*device.dense_teraflops, "memory", "gigabytes_per_second"]
    figures += [
        other
        for other in ("link_gigabytes_per_second", "watts", "cuda_cores", "tensor_cores")
        if getattr(device, other)
    ]
    sourced = [figure for source in device.sources for figure in source.figures if figure != "node_size"]
    assert sorted(sourced) == sorted(figures)
    # Dense: twice as fast at half the width, and not four times, as sparse figures beside dense ones are.
    if fp8 := device.dense_teraflops.get("fp8"):
        assert fp8 == pytest.approx(2 * device.dense_teraflops["bf16"], rel=0.02)


def test_traps_of_hardware_tables() -> None:
    h100, h200, l40s = (find_device(name) for name in ("h100", "h200", "l40s"))
    assert (h100.cuda_cores, h100.tensor_cores) == (16_896, 528)  # the full die has 18,432 and 576
    assert l40s.watts == 350  # the L40 has 300
    # Names count in GiB what drivers report a little less of: 80 and 141 of them, not of GB.
    for device, gibibytes in (
        (h100, 80),
        (h200, 141),
        (find_device("mi300x"), 192),
        (find_device("tpu-v5e"), 16),
    ):
        assert 0.98 < device.memory_bytes / (gibibytes * 1024**3) <= 1
        assert device.memory_bytes > gibibytes * 1e9


@pytest.mark.parametrize(
    ("name", "wanted", "computed"),
    [("a100", "fp8", "bf16"), ("h100", "fp4", "fp8"), ("h100", "int4", "int8"), ("b200", "fp4", "fp4"),
     ("b300", "int8", "bf16"), ("rtx-4090", "int4", "int4"), ("l40s", "int4", "int8"),
     ("mi300x", "fp32", "fp32")],
)  # fmt: skip
def test_a_format_that_a_device_lacks_is_computed_in_a_wider_one(
    name: str, wanted: Any, computed: str
) -> None:
    """... and one that it is slow in: the integer units of a B300."""
    assert find_device(name).computes(wanted) == computed


OWN = """
title = "My GPU"
memory = "24 GB"
gigabytes_per_second = 500
[dense_teraflops]
bf16 = 100
"""


def test_a_device_of_ones_own_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "my_gpu.toml").write_text(OWN)
    found = costs(n_params=1e9, device=str(tmp_path / "my_gpu.toml"), only="serving")
    assert found.device.name == "my_gpu"
    assert found.device.memory_bytes == 24e9
    assert found.serving.ridge == pytest.approx(200)
    assert any("give --watts" in warning for warning in found.warnings)
    assert found.serving.points[0].joules_per_token is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"24 GB"', "24"), "memory"),
        (('"24 GB"', '"24"'), "give a number and its unit, as in '80 GiB'"),
        (("bf16 = 100", "bf16 = -100"), "bf16"),
        (("bf16 = 100", "bf17 = 100"), "dense_teraflops"),
        (("bf16 = 100", ""), "dense_teraflops is empty"),
        (("500", "0"), "gigabytes_per_second"),
        (("memory", "memry"), "unknown memry"),
        (("title", "title ="), "can't be read"),
    ],
)
def test_a_file_that_is_no_device_is_refused(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(OWN.replace(*change))
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        find_device(str(tmp_path / "mine.toml"))
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


# Models.


def config(**changes: Any) -> dict[str, Any]:
    """Llama 3 8B as Hugging Face has it."""
    return {
        "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256,
        "tie_word_embeddings": False,
    } | changes  # fmt: skip


def from_config(folder: Path, raw: dict[str, Any]) -> ForecastModel:
    """The model of a config.json."""
    (folder / "config.json").write_text(json.dumps(raw))
    return find_model(str(folder / "config.json"))


def test_hugging_face_configs(tmp_path: Path) -> None:
    assert from_config(tmp_path, config()).shape == find_model("llama-3-8b").shape
    assert from_config(tmp_path, {"text_config": config()}).shape == find_model("llama-3-8b").shape
    assert "sliding window is left out" in from_config(tmp_path, config(sliding_window=4096)).origin
    gpt2 = {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257,
            "n_positions": 1024}  # fmt: skip
    # GPT-2 small has 124,439,808 with its biases, which don't count here.
    assert from_config(tmp_path, gpt2).n_params == pytest.approx(124_439_808, rel=2e-3)
    mixtral = config(vocab_size=32000, num_local_experts=8, num_experts_per_tok=2)
    model = from_config(tmp_path, mixtral)
    assert model.n_params == pytest.approx(46.7e9, rel=1e-3)  # Jiang et al. (2024): 47B, of which 13B active
    assert model.n_active == pytest.approx(12.9e9, rel=2e-3)
    assert model.n_read(1) < model.n_read(8) < model.n_read(1e3) < model.n_params


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kv_lora_rank": 512}, "MLA"),
        ({"state_size": 16}, "state-space"),
        ({"moe_intermediate_size": 2048}, "experts"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"vocab_size": None}, "vocab_size is missing"),
        ({"num_key_value_heads": 5}, "must divide the 32 heads"),
    ],
)
def test_a_config_that_is_no_plain_decoder_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        from_config(tmp_path, config(**changes))


def test_a_shape_of_ones_own_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        "layers = 2\nwidth = 64\nheads = 4\nkv_heads = 1\nhead_dim = 16\nff_width = 256\nvocab = 100\n"
    )
    found = costs(str(path), tokens=1e6)
    assert found.model.name == "mine"
    assert found.serving.kv_bytes_per_token == 2 * 2 * 1 * 16 * 2
    path.write_text("layers = 2\n")
    with pytest.raises(UserError, match=r"mine\.toml.*width"):
        costs(str(path))


@pytest.mark.parametrize("name", known_models())
def test_every_public_model_has_a_source_and_a_forecast(name: str) -> None:
    found = costs(name, device="b200", weights="fp8", devices=4096)
    assert "your own file" not in found.model.origin
    assert found.training is not None
    assert found.serving is not None


# What must rise or fall.

SIZES = st.floats(1e8, 2e11)
BATCHES = st.integers(1, 64)
NAMES = st.sampled_from(known_devices())


@given(SIZES, NAMES, st.sampled_from(["bf16", "fp8", "int8", "int4"]), BATCHES, st.integers(1, 16384))
@settings(max_examples=60, deadline=None)
def test_a_server_at_every_size(n_params: float, device: str, weights: Any, batch: int, prompt: int) -> None:
    options = ForecastOptions(weights=weights, price=2.0, output=64)
    server = Replica.of(given_n(n_params), find_device(device), 8, options)
    point, larger = (serving_point(server, prompt, b, options) for b in (batch, batch + 1))
    longer = serving_point(server, prompt + 100, batch, options)
    for each in (point.ttft, point.step, point.tpot, point.cost_per_million):
        assert each is not None
        assert each.roofline <= each.low <= each.expected <= each.high
    rate = point.tokens_per_second
    assert rate.low <= rate.expected <= rate.high <= rate.roofline * (1 + 1e-9)
    for of in (lambda e: e.roofline, lambda e: e.expected, lambda e: e.high):
        assert of(point.tpot) <= of(larger.tpot)
        assert of(point.ttft) <= of(longer.ttft)
        assert of(point.tpot) <= of(longer.tpot)
        assert of(point.cost_per_million) >= of(larger.cost_per_million) * (1 - 1e-9)
    assert point.memory < larger.memory
    assert server.largest_batch(prompt + 64) >= server.largest_batch(prompt + 164)


@given(SIZES, NAMES)
@settings(max_examples=30, deadline=None)
def test_memory_falls_with_precision_and_time_with_devices(n_params: float, device: str) -> None:
    model, found = given_n(n_params), find_device(device)
    kept = [
        Replica.of(model, found, 1, ForecastOptions(weights=w, kv=w, compute="bf16")).needed(4, 1000)
        for w in ("fp32", "bf16", "fp8", "int4")
    ]
    assert [kept[0] / x for x in kept] == pytest.approx([1, 2, 4, 8])
    steps = [Replica.of(model, found, k, ForecastOptions()).step(4, 1000) for k in (1, 2, 4, 8)]
    assert all(a.roofline > b.roofline for a, b in itertools.pairwise(steps))
    # What devices send each other makes a small model no faster on more of them; it never makes it free.
    assert all(a.expected < 2 * b.expected for a, b in itertools.pairwise(steps))
    options = ForecastOptions()
    shares = [training_memory(model, found, options, k, recomputes=True) for k in (1, 2, 4)]
    assert shares[0].sharded == pytest.approx(2 * shares[1].sharded) == pytest.approx(4 * shares[2].sharded)
    assert shares[0].sharded == pytest.approx(16 * n_params)  # Rajbhandari et al. (2020), section 3.1
    kept_all = training_memory(model, found, options, 1, recomputes=False)
    assert shares[0].activations <= kept_all.activations


@given(
    st.floats(10, 1e6), st.floats(1.01, 20), st.floats(0.01, 0.1), st.sampled_from(["roofline", "expected"])
)
@settings(max_examples=40, deadline=None)
def test_the_fewest_devices_rise_with_demand_and_fall_with_patience(
    rate: float, factor: float, tpot: float, basis: str
) -> None:
    def devices(rate: float, tpot: float) -> float:
        found = costs("llama-3-8b", rate=rate, max_tpot=tpot, only="serving", price=2.0)
        fleet = found.sizing.fleets[basis]
        if fleet is None:
            return float("inf")
        assert fleet.tpot <= tpot
        assert fleet.tokens_per_second >= rate * (1 - 1e-9)
        return fleet.devices

    asked = devices(rate, tpot)
    assert devices(rate * factor, tpot) >= asked
    assert devices(rate, tpot * factor) <= asked


def test_points_as_a_frame() -> None:
    serving = costs("llama-3-8b", price=2.0, batch=[1, 8], prompt=[100, 1000], only="serving").serving
    frame = serving.to_frame()
    assert list(zip(frame["prompt"], frame["batch"], strict=True)) == [
        (100, 1),
        (100, 8),
        (1000, 1),
        (1000, 8),
    ]
    assert frame["tpot_low"].tolist() == [point.tpot.low for point in serving.points]
    assert (frame["cost_per_million_roofline"] <= frame["cost_per_million_expected"]).all()


def test_the_fewest_devices_are_those_of_a_search() -> None:
    """Every sharding, batch and number of replicas, one after the other."""
    options = ForecastOptions(rate=3000, max_tpot=0.012, max_ttft=0.05, only="serving", device="a100")
    model, device = find_model("llama-3-8b"), find_device("a100")
    fewest, fastest = float("inf"), float("inf")
    for shards in (1, 2, 4, 8):
        server = Replica.of(model, device, shards, options)
        for batch in range(1, 400):
            point = serving_point(server, 1024, batch, options)
            if point.tpot.expected <= 0.012 and point.ttft.expected <= 0.05:
                devices = shards * -(-3000 // point.tokens_per_second.expected)
                if (devices, point.tpot.expected) < (fewest, fastest):
                    fewest, fastest = devices, point.tpot.expected
    found = costs("llama-3-8b", options=options).sizing.fleets["expected"]
    assert found.devices == fewest
    assert found.tpot == pytest.approx(fastest)


# From a law to a price.


def test_from_a_published_law_to_the_price_of_its_model() -> None:
    """Besiroglu et al. (2024): 72.3B parameters and 1.33T tokens at 5.76e23 FLOPs."""
    found = costs("chinchilla:besiroglu", flops=5.76e23, device="h100", devices=1000, price=2.0)
    assert found.model.n_params == pytest.approx(72.3e9, rel=5e-3)
    assert found.training.tokens == pytest.approx(1.33e12, rel=5e-3)
    seconds = 5.76e23 / (1000 * 989.4e12 * 0.45)
    assert found.training.hours.expected == pytest.approx(seconds / 3600)
    assert found.training.money.expected == pytest.approx(2000 * seconds / 3600)
    assert found.recommended.run.n_interval is None
    assert found.warnings


def test_the_interval_of_n_is_carried_through() -> None:
    names = ("E", "A", "alpha", "B", "beta")
    rng = np.random.default_rng(0)
    draws = BESIROGLU * np.exp(rng.normal(0, [0.005, 0.1, 0.01, 0.1, 0.01], (200, 5)))
    intervals = Intervals(0.9, "bootstrap", 200, "runs", {}, {}, tuple(map(tuple, draws.tolist())))
    law = law_fit(dict(zip(names, BESIROGLU.tolist(), strict=True)), {}, intervals=intervals,
                  conventions=conventions((1e19, 1e22)))  # fmt: skip
    found = costs(law, flops=2e22, devices=8, price=2.0, batch=4)
    low, high = predict(law, 2e22).n_interval or (0.0, 0.0)
    assert low is not None
    assert high is not None
    assert 0 < low < 0.9 * high
    carried = found.recommended.quantities
    assert (carried["parameters"].low, carried["parameters"].high) == pytest.approx((low, high))
    assert carried["training tokens"].low == pytest.approx(2e22 / 6 / high, rel=1e-3)
    for each in carried.values():
        assert each.low is None or each.low <= each.value <= each.high
    # By hand, at the upper end: what rises with the size, and what falls.
    upper = costs(n_params=high, devices=8, price=2.0, batch=4, tensor_parallel=found.serving.devices)
    point = upper.serving.points[0]
    assert carried["TPOT, s"].high == pytest.approx(point.tpot.expected)
    assert carried["output tokens a second"].low == pytest.approx(point.tokens_per_second.expected)
    assert carried["training state, bytes"].high == pytest.approx(16 * high)
    # A budget fixes what training takes; a loss leaves it open.
    assert carried["training hours"].low is None
    aimed = costs(law, loss=predict(law, 2e22).loss, devices=8, price=2.0, batch=4).recommended
    assert aimed.run.flops == pytest.approx(2e22, rel=1e-3)
    ends, money = aimed.run.flops_interval, aimed.quantities["training money"]
    assert money.low / money.value == pytest.approx(ends[0] / aimed.run.flops)
    assert money.high / money.value == pytest.approx(ends[1] / aimed.run.flops)
    back = json.loads(json.dumps(found.to_json()))
    assert back["recommended"]["run"]["n_interval"] == pytest.approx([low, high])


def test_a_law_answers_for_a_size_and_a_loss() -> None:
    """The run that two quantities determine, with the law's tokens for them."""
    run = planned_run("chinchilla:besiroglu", n_params=8e9, loss=2.1)
    found = costs("chinchilla:besiroglu", n_params=8e9, loss=2.1)
    assert found.training.tokens == pytest.approx(run.d)
    assert found.training.flops.counted == pytest.approx(run.flops)
    assert found.model.n_params == 8e9


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ("chinchilla:besiroglu", {}, "needs --flops"),
        ("chinchilla:besiroglu", {"flops": 1e21, "loss": 2.0}, "--flops and --loss together"),
        ("chinchilla:besiroglu", {"loss": 1.0}, "irreducible loss"),
        (None, {"n_params": 1e9, "loss": 2.0}, "only a law says"),
        ("chinchilla:nobody", {"flops": 1e21}, "choose one of"),
        (None, {}, "which model"),
        (None, {"n_params": 1e9, "flops": 1e20, "tokens": 1e9}, "give one"),
        (None, {"n_params": 1e9, "only": "training"}, "give --tokens"),
        ("llama-3-8b", {"n_params": 1e9}, "has its own shape"),
        ("llama-9", {}, "llama-3-8b"),
        (None, {"n_params": 8.0}, "8e9 for those"),
        (None, {"n_params": 8e9, "tokens": 15.0}, "15e9"),
        ("chinchilla:besiroglu", {"flops": 5.0}, "PF-days"),
        (None, {"n_params": 8e9, "price": -1.0}, "price -1.0: must be at least 0"),
        (None, {"n_params": 8e9, "utilization": 40.0}, "utilization 40.0: must be at most 1"),
        (None, {"n_params": 8e9, "utilization": (0.1, 0.2, 0.3)}, "utilization 0.1 0.2 0.3: give one share"),
        (None, {"n_params": 8e9, "prompt": ()}, "prompt nothing: give at least one"),
        (None, {"n_params": 8e9, "weights": "int3"}, "int3"),
        (None, {"n_params": 8e9, "device": "h1000"}, "known are a10, a100"),
        (None, {"n_params": 8e9, "max_tpot": 30.0}, "0.03"),
        (None, {"n_params": 8e9, "prize": 3}, "perhaps price"),
        (None, {"n_params": 8e9, "output": 1}, "output 1: must be at least 2"),
        (None, {"n_params": 8e9, "compute": "fp32", "device": "tpu-v5e"}, "no known peak for fp32"),
        (None, {"n_params": 1e12}, "2,000 GB of weights in bf16 are more than 0.9 x 8 x 85.5 GB"),
        (None, {"n_params": 8e9, "batch": 5000}, "at most"),
        (None, {"n_params": 8e9, "rate": 10.0, "prompt": (1, 2)}, "one --prompt"),
        # Targets that contradict the device, with the arithmetic.
        (None, {"n_params": 8e9, "max_tpot": 1e-4}, "reads 16"),
        (None, {"n_params": 8e9, "max_ttft": 1e-4}, "1.67e+13 FLOPs"),
        # What fits no number of devices, however sharded.
        ("llama-3-8b", {"micro_batch": 64}, "no number of NVIDIA H100"),
        ("llama-3-8b", {"devices": 1}, "the fewest that hold it are"),
    ],
)  # fmt: skip
def test_what_cannot_be_forecast_is_refused_in_one_line(what: Any, options: Any, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        costs(what, **options)
    assert "\n" not in str(caught.value)
