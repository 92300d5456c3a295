"""Seconds of prefill and decode by batch, prompt and format of weights, beside this machine's ceilings.

A row is one timing: `phase` prefill, whose seconds are the time to the first token (TTFT) of a batch of
prompts read together, or decode, whose seconds are those of a step, a token for each sequence (TPOT of a
batch that starts together, so that no prompt of another request comes between). The same rounds time the
machine itself: products of matrices, and reading of memory. `isoflop serving` sets the times beside what the
forecast of serving makes of those ceilings. Seconds differ from run to run; counts do not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from isoflop.base.errors import UserError
from isoflop.base.fields import Count, Distinct, DistinctSome, Positive, check_fields
from isoflop.evals.measurement import Row
from isoflop.evals.timing.ceilings import MatrixPeak, Reading
from isoflop.evals.timing.counts import Counts, Served
from isoflop.evals.timing.rounds import in_rounds, spread
from isoflop.evals.timing.server import Server, Weights, compute_dtype
from isoflop.evals.trained_model import TrainedModel
from isoflop.models.config import Dtype

TIMED = (
    *("seconds", "seconds_fastest", "seconds_low", "seconds_high", "tokens_per_second"),
    *("peak_flops_per_second", "memory_bytes_per_second", "cached_bytes_per_second", "load_average"),
)
"""Columns that no two runs give alike."""
EVERY_FORMAT: tuple[Weights, ...] = get_args(Weights)
WIDER: dict[Dtype, tuple[Dtype, ...]] = {"float32": ("float32",), "bfloat16": ("bfloat16", "float32")}
"""Formats whose products give those of a format: a device may have the faster peak in the wider one."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Timings of prefill and decode beside the machine's own ceilings."""

    batch: DistinctSome[Count] = (1, 4, 16)
    """Sequences that are read together, and then decoded together."""
    prompt: Distinct[Count] = ()
    """Tokens of a prompt; unless given, an eighth and half of the model's context."""
    output: Annotated[int, Field(ge=2, multiple_of=2)] = 16
    """Tokens made of each prompt: the prefill gives the first, each step another."""
    weights: DistinctSome[Weights] = EVERY_FORMAT
    """What weights are kept in: fp32, bf16, int8."""
    widths: Distinct[Count] = ()
    """Only models of these widths; times depend on the shape alone."""
    rounds: Annotated[int, Field(ge=3)] = 9
    """How often everything is timed, after once that is not."""
    stream_megabytes: Positive = 256.0
    """What is read to measure the bandwidth of memory: several times the last cache's size."""

    def __post_init__(self) -> None:
        check_fields(self)

    def prompts(self, context: int) -> tuple[int, ...]:
        """Those that are asked of a model of that context."""
        return self.prompt or tuple(dict.fromkeys((max(1, context // 8), max(1, context // 2))))

    def skips(self, model: TrainedModel) -> bool:
        """Whether a model is of a width that was not asked for."""
        return bool(self.widths) and model.recipe.model.width not in self.widths


def refuse(model: TrainedModel, options: Options) -> None:
    """Raises `UserError` for a model whose serving is not counted here, or that can't hold the tokens."""
    config, name = model.recipe.model, model.cell.cell_id
    if options.skips(model):
        return
    if config.architecture != "decoder" or config.experts > 1:
        what = f"{config.experts} experts" if config.experts > 1 else f"architecture {config.architecture}"
        raise UserError(
            f"{name} has {what}: serving counts the FLOPs and bytes of dense decoders; leave it out by "
            "--widths"
        )
    if config.weight_bits and "int8" in options.weights:
        raise UserError(
            f"{name} was trained with weights of {config.weight_bits} bits, and int8 would round them twice: "
            "ask for --weights fp32 bf16"
        )
    longest = max(options.prompts(config.context_length)) + options.output
    if longest > config.context_length:
        raise UserError(
            f"{options.output} tokens after a prompt of {longest - options.output} are {longest}, and the "
            f"context of {name} is {config.context_length}: lower --prompt or --output, or leave the model "
            "out by --widths"
        )


def measure(model: TrainedModel, options: Options) -> list[Row]:
    """Two rows, prefill and decode, for each format, batch and prompt."""
    if options.skips(model):
        return []
    config = model.recipe.model
    settings: dict[tuple[Weights, int, int], _Setting] = {}
    for weights in options.weights:
        server = Server(model, weights)
        item = jnp.dtype(server.dtype).itemsize
        served = Served(config, model.recipe.ledger, server.weight_bytes, item)
        for batch in options.batch:
            for prompt in options.prompts(config.context_length):
                settings[weights, batch, prompt] = _Setting(server, served, batch, prompt, options.output)
    peaks = {dtype: MatrixPeak(dtype) for dtype in _dtypes(options.weights)}
    reads = {size: Reading(size) for size in {setting.read_size for setting in settings.values()}}
    memory = Reading(options.stream_megabytes * 1e6)
    load = os.getloadavg()[0]
    works: dict[Any, Callable[[], Sequence[float]]] = {**settings, **peaks, **reads, "memory": memory}
    seconds = in_rounds(works, options.rounds)

    def best(key: Any, amount: int) -> float:
        return amount / float(seconds[key].min())

    peak = {dtype: best(dtype, product.flops) for dtype, product in peaks.items()}
    rows: list[Row] = []
    for (weights, batch, prompt), setting in settings.items():
        ceilings = {
            "peak_flops_per_second": max(peak[dtype] for dtype in WIDER[setting.server.dtype]),
            "memory_bytes_per_second": best("memory", memory.bytes),
            "cached_bytes_per_second": best(setting.read_size, reads[setting.read_size].bytes),
            "load_average": load,
            "rounds": options.rounds,
            "device": jax.devices()[0].device_kind,
        }
        for part, (phase, counts, tokens) in enumerate(setting.phases()):
            row: Row = {"weights": weights, "computed_in": setting.server.dtype, "batch": batch}
            row |= {"prompt": prompt, "output": options.output, "phase": phase, "tokens": tokens}
            row |= spread(seconds[weights, batch, prompt][:, part])
            rows.append(
                row | {"tokens_per_second": tokens / float(row["seconds"])} | asdict(counts) | ceilings
            )
    return rows


def _dtypes(weights: Sequence[Weights]) -> list[Dtype]:
    """Formats whose products are timed."""
    return list(dict.fromkeys(wider for each in weights for wider in WIDER[compute_dtype(each)]))


@dataclass(frozen=True)
class _Setting:
    """A server with a batch of prompts of a length; called, it serves them once."""

    server: Server
    served: Served
    batch: int
    prompt: int
    output: int

    @property
    def tokens_BxP(self) -> np.ndarray:
        """Prompts of random tokens: no time depends on what they are."""
        draw = np.random.default_rng(0)
        return draw.integers(0, self.served.config.vocab_size, (self.batch, self.prompt))

    def __call__(self) -> tuple[float, float]:
        """Seconds of the prefill and of a decode step."""
        return self.server.serve(self.tokens_BxP, self.output)[:2]

    def phases(self) -> list[tuple[str, Counts, int]]:
        """Name and counts of prefill and of decode, and the tokens that go through the model in each."""
        return [
            ("prefill", self.served.prefill(self.batch, self.prompt), self.batch * self.prompt),
            ("decode", self.served.decode(self.batch, self.prompt, self.output), self.batch),
        ]

    @property
    def read_size(self) -> int:
        """What a decode step reads, bytes, down to a power of two: sizes alike are timed once, and a smaller
        one is read no slower."""
        counts = self.served.decode(self.batch, self.prompt, self.output)
        return 2 ** ((counts.weight_bytes + counts.cache_bytes).bit_length() - 1)
