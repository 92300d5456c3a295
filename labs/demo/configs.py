"""Configs as scripted students write them: one family of shapes, whole steps, budgets in FLOPs."""

from __future__ import annotations

import math
from typing import Any

from isoflop.labs.contract.training_config import MAX_RUNTIME_SECONDS
from isoflop.labs.demo.client import Client

CONTEXT = 512
N_EVALS = 4
HEAD_DIM = 64
MAX_HEADS = 128
VOCABULARY = 32_000
SPARE = 1.05
"""Of the price that is reserved."""
FULL = 0.995
"""Of the target that a final run fills."""


def config(
    heads: int, tokens: float, rate: float = 3e-3, rate_left: float = 0.1, batch: int = 64
) -> dict[str, Any]:
    """A run of the family: as many layers as heads of 64."""
    step = CONTEXT * batch * N_EVALS
    return {
        "architecture_config": {
            "attention_bias": False,
            "head_dim": HEAD_DIM,
            "hidden_size": HEAD_DIM * heads,
            "intermediate_size": HEAD_DIM * round(8 / 3 * heads),
            "num_attention_heads": heads,
            "num_hidden_layers": heads,
            "num_key_value_heads": heads,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10_000,
            "tie_word_embeddings": True,
            "dtype": "float32",
            "vocab_size": VOCABULARY,
        },
        "optimizer_config": {
            "lr_scheduler": {"peak_value": rate, "final_lr_frac": rate_left},
            "weight_decay": 0.1,
        },
        "train_batch_size": batch,
        "val_batch_size": 64,
        "n_evals": N_EVALS,
        "total_train_tokens": step * max(1, round(tokens / step)),
        "max_runtime_seconds": float(MAX_RUNTIME_SECONDS),
    }


def n_params(heads: int) -> int:
    """Parameters of a member of the family without the embedding, but for norms: matrices and head."""
    width = HEAD_DIM * heads
    return heads * (4 * width**2 + 3 * width * HEAD_DIM * round(8 / 3 * heads)) + width * VOCABULARY


def heads_for(size: float) -> int:
    """The member of the family nearest to a size, parameters without the embedding."""
    return min(range(1, MAX_HEADS + 1), key=lambda heads: abs(math.log(n_params(heads) / size)))


def reserved(client: Client, wanted: dict[str, Any]) -> dict[str, Any]:
    """The config with its price, and a little more, as its reservation."""
    seconds = SPARE * client.post("/estimate", wanted)["seconds"]
    return wanted | {"max_runtime_seconds": min(max(1.0, round(seconds, 1)), float(MAX_RUNTIME_SECONDS))}


def at_flops(client: Client, heads: int, flops: float, **options: Any) -> dict[str, Any]:
    """A run of a size that costs these training FLOPs, with its price reserved."""
    price = client.post("/estimate", config(heads, 1e8))
    per_token = price["flops"] / config(heads, 1e8)["total_train_tokens"]
    return reserved(client, config(heads, flops / per_token, **options))


def at_target(client: Client, heads: int, *, overspent: float = 1.0, **options: Any) -> dict[str, Any]:
    """A final run of a size that spends the lab's target, or `overspent` times it."""
    some = config(heads, 1e9, **options)
    seconds = client.post("/estimate", some)["seconds"]
    share = overspent * FULL * client.get("/lab")["target_seconds"] / seconds
    return config(heads, some["total_train_tokens"] * share, **options)
