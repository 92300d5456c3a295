"""Serving against a clock: the tokens are those of decoding, the counts exact, the statistics by hand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import count
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isoflop.analysis.costs.architectures.model_shape import ForecastModel, ModelShape
from isoflop.analysis.costs.hardware.device import Device
from isoflop.analysis.costs.options import ForecastOptions
from isoflop.analysis.costs.serving import Replica, Work, operation_seconds
from isoflop.base.errors import UserError
from isoflop.evals import serving
from isoflop.evals.degradation import change_matrices
from isoflop.evals.timing.counts import Counts, Served
from isoflop.evals.timing.rounds import in_rounds, spread, timed
from isoflop.evals.timing.server import Int8, Server, Weights, decode_steps
from isoflop.models import ModelConfig, build, ledger
from isoflop.models.decoding import Sampling, decode
from isoflop.models.rounding import levels_of, quantize
from tests.support.small import CONTEXT, small_model

BATCH, PROMPT, OUTPUT = 3, 6, 4
NUMBER_BYTES: dict[Weights, int] = {"fp32": 4, "bf16": 2}


def trained(config: ModelConfig) -> Any:
    """A model of noise in all its parameters, as measurements see one."""
    shapes = nnx.state(nnx.eval_shape(lambda: build(config, seed=0)), nnx.Param)
    draw = np.random.default_rng(0)
    noise = jax.tree.map(lambda x: jnp.float32(0.5 * draw.standard_normal(x.shape)), shapes)
    recipe = SimpleNamespace(model=config, ledger=ledger(config))
    return SimpleNamespace(params=noise, recipe=recipe, cell=SimpleNamespace(cell_id="x"))


SMALL = small_model(8, depth=1)


@cache
def server(weights: Weights) -> Server:
    return Server(trained(SMALL), weights)


def prompts() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (BATCH, PROMPT))


def test_the_tokens_are_those_of_decoding() -> None:
    """In int8, those of the model whose matrices are rounded to 8 bits."""
    params = trained(SMALL).params
    rounded = change_matrices(params, jax.jit(lambda matrix: quantize(matrix, levels_of(8))))
    for weights, own in (("fp32", params), ("int8", rounded)):
        found = server(weights)
        expected = decode(found.graph, own, prompts().tolist(), OUTPUT, Sampling(temperature=0))
        np.testing.assert_array_equal(found.serve(prompts(), OUTPUT)[2], expected.tokens_BxN)


def test_seconds_are_those_of_the_clock() -> None:
    """A clock that says 1, 2, 4, 8 when it is asked."""
    ticks = iter([1.0, 2.0, 4.0, 10.0])
    first, step, _ = server("fp32").serve(prompts(), OUTPUT, lambda: next(ticks))
    assert (first, step) == (1.0, 6.0 / (OUTPUT - 1))


def test_what_is_timed_waits_for_its_arrays() -> None:
    waited: list[str] = []
    array = SimpleNamespace(block_until_ready=lambda: waited.append("waited"))
    timed(lambda: array, iter([0.0, 1.0]).__next__)
    assert waited == ["waited"]


def test_rounds_take_turns_and_the_first_is_not_counted() -> None:
    order: list[str] = []

    def work(name: str) -> Any:
        numbers: Iterator[int] = count()
        return lambda: (order.append(name), (float(next(numbers)),))[1]

    found = in_rounds({"a": work("a"), "b": work("b")}, 3)
    assert order == ["a", "b"] * 4
    np.testing.assert_array_equal(found["b"], [[1.0], [2.0], [3.0]])
    assert spread(np.array([5.0, 1.0, 2.0, 3.0, 4.0])) == {
        "seconds": 3.0,
        "seconds_fastest": 1.0,
        "seconds_low": 2.0,
        "seconds_high": 4.0,
    }


SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "grouped": {"heads": 4, "kv_heads": 2, "head_dim": 2, "mlp": "gelu", "depth": 2},
    "tied": {"tie_embeddings": True, "kv_convolution": 1},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_bytes_are_those_of_the_arrays_and_of_the_ledger(shape: dict[str, Any]) -> None:
    config = small_model(8, **shape)
    model = trained(config)
    for weights, item in NUMBER_BYTES.items():
        assert Server(model, weights).weight_bytes == item * ledger(config).params("non_embedding")
    held = Server(model, "int8")
    matrices = [x for x in held.held if isinstance(x, Int8)]
    assert len(matrices) == 4 * config.depth + (not config.tie_embeddings)
    assert all(x.whole_xIxO.dtype == jnp.int8 for x in matrices)
    saved = sum(3 * x.whole_xIxO.size - 4 * x.step_xO.size for x in matrices)
    assert held.weight_bytes == 4 * ledger(config).params("non_embedding") - saved
    slots = 10
    kept: Any = nnx.merge(held.graph, model.params).empty_cache(BATCH, slots)
    of_cache = sum(layer.keys_BxSxKxC.nbytes + layer.values_BxSxKxC.nbytes for layer in kept.layers)
    served = Served(config, ledger(config), 1, 4)
    assert BATCH * slots * served.cache_bytes_per_token == of_cache


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_flops_are_the_ledgers(shape: dict[str, Any]) -> None:
    """At full context, those of its forward pass; of a prompt and its output, token by token."""
    config = small_model(8, **shape)
    own = ledger(config)
    served = Served(config, own, 100, 2)
    last = served.decode(1, CONTEXT - 1, 2)
    assert last.linear_flops + last.attention_flops == own.forward_flops
    pair = own.forward["attention"] // CONTEXT
    body = own.forward_flops - own.forward["attention"] - own.forward["head"]
    tokens = range(1, PROMPT + 1)
    assert served.prefill(BATCH, PROMPT) == Counts(
        BATCH * (sum(body for _ in tokens) + own.forward["head"]),
        BATCH * sum(pair * seen for seen in tokens),
        100,
        BATCH * PROMPT * config.depth * config.kv_width * 2,
    )
    steps = range(PROMPT + 1, PROMPT + OUTPUT)
    mean, rest = divmod(sum(steps), len(steps))
    assert rest == 0
    assert served.decode(BATCH, PROMPT, OUTPUT) == Counts(
        BATCH * (body + own.forward["head"]),
        BATCH * pair * mean,
        100,
        BATCH * mean * config.depth * config.kv_width * 2,
    )


def test_the_roofline_is_the_forecasts() -> None:
    """Of the same shape on a device of the same peak and bandwidth, but for norms and convolutions."""
    config = small_model(64)
    shape = ModelShape(
        *(config.depth, config.width, config.heads, config.kv_heads, config.head_dim, config.ff_width),
        vocab=config.vocab_size,
    )
    for peak, bandwidth in ((1e10, 1e12), (1e14, 1e9)):  # FLOPs bind, then bytes
        device = Device("mine", "Mine", "1 GiB", bandwidth / 1e9, {"fp32": peak / 1e12})
        options = ForecastOptions(weights="fp32", kv="fp32", output=OUTPUT)
        replica = Replica.of(ForecastModel.of_shape("x", shape, "here"), device, 1, options)
        served = Served(config, ledger(config), 4 * ledger(config).params("non_embedding"), 4)
        for ours, theirs in (
            (served.prefill(1, PROMPT), replica.prefill(PROMPT)),
            (served.decode(8, PROMPT, OUTPUT), replica.step(8, PROMPT + OUTPUT / 2)),
        ):
            works = (
                Work(ours.linear_flops, ours.weight_bytes),
                Work(ours.attention_flops, ours.cache_bytes),
            )
            found = operation_seconds(works, peak, bandwidth)
            assert found.roofline == pytest.approx(theirs.roofline, rel=0.02)
            assert found.expected == pytest.approx(theirs.expected, rel=0.02)


def test_int8_weights_are_read_as_they_are_in_each_step() -> None:
    """The loop carries whole numbers: a float matrix that was made before it would be what is read."""
    made = server("int8")
    static: dict[str, Any] = {"graph": made.graph, "tree": made.tree, "dtype": made.dtype}
    kept = nnx.merge(made.graph, trained(SMALL).params).empty_cache(BATCH, PROMPT + OUTPUT)
    lowered: Any = decode_steps.lower(
        made.held, jnp.zeros(BATCH, jnp.int32), kept, steps=OUTPUT - 1, **static
    )
    program = lowered.compile().as_text()
    (loop,) = [line for line in program.splitlines() if " while(" in line]
    carried = loop.split(" while(")[0]
    for x in made.held:
        if isinstance(x, Int8):
            shape = ",".join(map(str, x.whole_xIxO.shape))
            assert f"s8[{shape}]" in carried
            assert f"f32[{shape}]" not in carried


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ({"experts": 2}, {}, "x has 2 experts: serving counts .* dense decoders"),
        ({"architecture": "gated_recurrence"}, {}, "x has architecture gated_recurrence"),
        ({"weight_bits": 4}, {}, "trained with weights of 4 bits, and int8 would round them twice"),
        ({}, {"prompt": (20,)}, "16 tokens after a prompt of 20 are 36, and the context of x is 32: lower"),
    ],
)
def test_a_model_that_cannot_be_timed_is_refused(
    shape: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    model: Any = SimpleNamespace(
        recipe=SimpleNamespace(model=small_model(8, **shape)), cell=SimpleNamespace(cell_id="x")
    )
    with pytest.raises(UserError, match=message):
        serving.refuse(model, serving.Options(**options))
    left_out = serving.Options(**options, widths=(16,))
    serving.refuse(model, left_out)
    assert serving.measure(model, left_out) == []
