"""Loss after tuning on another domain: by adapters of low rank, and by full tuning of the same model.

Hu et al. (2021, LoRA) find that adapters of rank 1 to 8 do as well as full tuning of large models. Zhang et
al. (2024, When Scaling Meets LLM Finetuning, equation 1) fit the loss after tuning by A / (X^alpha D^beta) +
E, where D is the tuning text and X the model's size or the adapters', and find that more parameters in the
adapters bring next to nothing: the law is `isoflop fit --law product`.

All tunings of a model and a length take the same batches, once, under a linear schedule. The peak rate is the
one of those tried whose model is the best on the tuning split of the other domain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from isoflop.base.errors import UserError
from isoflop.base.fields import Count, DistinctSome, Positive, check_fields
from isoflop.evals.measurement import Row
from isoflop.evals.trained_model import TrainedModel
from isoflop.evals.tuning import Tuning, adapter_flops, of_adapters, of_parameters, trainable, tune
from isoflop.train.data.corpus import Corpus, prepare
from isoflop.train.schedules import learning_rates
from isoflop.train.spec import Schedule

WARMUP_SHARE = 0.1
"""Of the steps of a tuning."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Tuning on another domain, by adapters of low rank and in full."""

    data: str = "wiki-intro:fr"
    """The other domain: a source that `isoflop data list` shows; tokenized as the models' own text."""
    tokens: DistinctSome[Count] = (4096, 16_384, 65_536)
    """Tokens of the other domain that a model is tuned on: whole steps of its own batch, each text once."""
    ranks: DistinctSome[Count] = (1, 4, 16)
    """Ranks of the adapters."""
    rates: DistinctSome[Positive] = (0.004, 0.008, 0.016)
    """Peak rates tried where the model's own parameters are tuned."""
    adapter_rates: DistinctSome[Positive] = (0.008, 0.016, 0.032)
    """Peak rates tried where adapters are."""
    alpha: Positive = 16.0
    """The adapters' product is multiplied by alpha / rank."""
    windows: Count = 512
    """Held-out windows of either domain that the losses are of."""
    tune_windows: Count = 256
    """Windows of the other domain's tuning split that choose the rate."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Added to a model's own seed: the seed of the adapters and of the order of the tuning text."""

    def __post_init__(self) -> None:
        check_fields(self)


class Method(NamedTuple):
    """A way of tuning: `full`, `matrices` (those alone that adapters would stand beside) or `adapters`."""

    name: str
    rank: int
    tuning: Tuning
    rates: tuple[float, ...]
    token_flops: int


def refuse(model: TrainedModel, options: Options) -> None:
    """Raises `UserError` for a domain of other token ids or of too little text, and for too few tokens."""
    other, recipe = _other(model, options), model.recipe
    if other.vocab_size != recipe.model.vocab_size:
        raise UserError(
            f"data {options.data}: has {other.vocab_size} token ids and {recipe.data.source}, which these "
            f"models were trained on, {recipe.model.vocab_size}: take a corpus of the same tokenizer"
        )
    if (least := min(options.tokens)) < recipe.batch_tokens:
        raise UserError(
            f"tokens {least}: a step of {model.cell.cell_id} takes {recipe.batch_tokens}: give that many at "
            "least"
        )
    if (most := max(options.tokens)) > other.n_tokens("train"):
        raise UserError(
            f"tokens {most:,}: {options.data} has {other.n_tokens('train'):,} to train on: give no more"
        )
    other.require_windows("heldout", recipe.model.context_length, options.windows)
    other.require_windows("tune", recipe.model.context_length, options.tune_windows)


def measure(model: TrainedModel, options: Options) -> list[Row]:
    """One row a method, rank and number of tokens."""
    other, context = _other(model, options), model.recipe.model.context_length
    heldout = other.evaluation_windows("heldout", context, options.windows)
    home = model.windows(options.windows)
    batches = _batches(model, other, options)
    before = {"loss_before": _mean(model, heldout), "loss_home_before": _mean(model, home)}
    rows: list[Row] = []
    for method in _methods(model, options):
        for steps in (tokens // model.recipe.batch_tokens for tokens in options.tokens):
            rate, params = _best(model, method, options, batches, steps)
            tokens = steps * model.recipe.batch_tokens
            rows.append(
                {
                    "method": method.name,
                    "rank": method.rank,
                    "tuning_tokens": tokens,
                    "lr": rate,
                    "trainable_params": trainable(method.tuning, method.rank),
                    "tuning_flops": tokens * method.token_flops,
                    "loss": _mean(model, heldout, params),
                    "loss_home": _mean(model, home, params),
                }
                | before
            )
    return rows


def _methods(model: TrainedModel, options: Options) -> Iterator[Method]:
    recipe, params = model.recipe, model.params
    flops = recipe.ledger.train_flops
    for name in ("full", "matrices"):
        own = of_parameters(recipe, params, matrices_only=name == "matrices")
        yield Method(name, 0, own, options.rates, flops)
    largest, seed = max(options.ranks), recipe.init_seed + options.seed
    for rank in options.ranks:
        beside = of_adapters(params, rank, largest=largest, alpha=options.alpha, seed=seed)
        yield Method("adapters", rank, beside, options.adapter_rates, adapter_flops(recipe, params, rank))


def _best(
    model: TrainedModel, method: Method, options: Options, batches: NDArray[Any], steps: int
) -> tuple[float, Any]:
    """The rate of the lowest loss on the other domain's tuning split, and the parameters it gave."""
    context = model.recipe.model.context_length
    windows = _other(model, options).evaluation_windows("tune", context, options.tune_windows)
    warmup = Schedule("linear", warmup_steps=max(1, round(WARMUP_SHARE * steps)))
    best, found = math.inf, None
    for rate in method.rates:
        rates_S = learning_rates(warmup, rate, 0, steps, steps)
        params = tune(model.recipe, model.graph, model.params, method.tuning, batches, rates_S)
        loss = _mean(model, windows, params)
        if loss < best:
            best, found = loss, (rate, params)
    if found is None:
        raise UserError(
            f"{model.cell.cell_id} diverged at every rate that {method.name} tried: lower "
            f"{'adapter_rates' if method.rank else 'rates'}"
        )
    return found


def _batches(model: TrainedModel, other: Corpus, options: Options) -> NDArray[Any]:
    """The windows (S, B, T + 1) of the longest tuning; a shorter one takes the first of them."""
    recipe = model.recipe
    context, steps = recipe.model.context_length, max(options.tokens) // recipe.batch_tokens
    seed = recipe.init_seed + options.seed
    index_SxB = other.order(seed, 0, steps, batch_size=recipe.batch_size, context=context)
    return other.windows("train", context, index_SxB.ravel()).reshape(*index_SxB.shape, context + 1)


def _other(model: TrainedModel, options: Options) -> Corpus:
    data = model.recipe.data
    return prepare(options.data, data.tokenizer, learnt_from=data.source)


def _mean(model: TrainedModel, windows: NDArray[Any], params: Any = None) -> float:
    """Mean cross-entropy, nats per token."""
    return float(model.losses(windows, params).mean(dtype=np.float64))
