"""Devices and models that costs are forecast for: each one of ours, and files of a user's own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from isoflop.analysis import UserError, find_device, known_devices
from isoflop.analysis.costs.architectures.model_shape import ForecastModel
from isoflop.analysis.costs.architectures.public_models import find_model, known_models
from tests.support.costs import costs

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
