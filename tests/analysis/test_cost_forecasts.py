"""Costs rise and fall as they must, follow from laws with their intervals, and are refused in one line."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoflop.analysis import ForecastOptions, UserError, find_device, known_devices, planned_run, predict
from isoflop.analysis.costs.architectures.public_models import find_model
from isoflop.analysis.costs.serving import Replica, serving_point
from isoflop.analysis.costs.training import training_memory
from isoflop.analysis.result import Intervals
from tests.support.costs import costs, given_n
from tests.support.fits import conventions, law_fit
from tests.support.surfaces import BESIROGLU

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


def test_a_law_of_sparse_models_is_no_law_of_dense_ones() -> None:
    """Its N counts experts that no token visits: the dense model of that size costs many times as much."""
    with pytest.raises(UserError, match="krajewski: a forecast is of a dense model"):
        costs("krajewski:krajewski", flops=1e21)


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
