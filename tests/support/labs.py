"""Course labs and their training configs, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isoflop.labs.contract.training_config import ArchitectureConfig, TrainingConfig
from isoflop.labs.lab import Lab, new_lab, new_lab_id
from isoflop.labs.pricing import ledger
from isoflop.labs.settings import Settings

STUDENTS = ("ann", "bob", "eve")

ARCHITECTURE: dict[str, Any] = {
    "attention_bias": False,
    "head_dim": 64,
    "hidden_size": 256,
    "intermediate_size": 1024,
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10_000,
    "tie_word_embeddings": False,
    "dtype": "float32",
    "vocab_size": 512,
}
"""Four million parameters."""


def config_json(architecture: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A legal config as a student sends it, with some fields of its own."""
    return {
        "architecture_config": ARCHITECTURE | (architecture or {}),
        "optimizer_config": {},
        "train_batch_size": 8,
        "val_batch_size": 8,
        "n_evals": 4,
        "total_train_tokens": 65_536,
        "max_runtime_seconds": 120.0,
    } | fields


def training_config(architecture: dict[str, Any] | None = None, **fields: Any) -> TrainingConfig:
    """The same, read."""
    return TrainingConfig.model_validate(config_json(architecture, **fields))


def make_lab(folder: Path, students: Sequence[str] = STUDENTS, **settings: Any) -> Lab:
    """A surrogate lab with a budget of 1000 seconds for each of its students."""
    rules = {"lab_id": new_lab_id(), "backend": "surrogate", "budget_seconds": 1000.0, **settings}
    return new_lab(folder, Settings(**rules), students)


def isoflop_configs(flops: float, heads: Sequence[int]) -> list[dict[str, Any]]:
    """Runs of several sizes at nearly the same training FLOPs, as a student sends them."""
    configs = []
    for n in heads:
        shape = {
            "hidden_size": 64 * n, "intermediate_size": 192 * n, "num_attention_heads": n,
            "num_hidden_layers": n, "num_key_value_heads": n, "vocab_size": 32_000,
            "tie_word_embeddings": True,
        }  # fmt: skip
        per_token = ledger(ArchitectureConfig.model_validate(ARCHITECTURE | shape), 512).train_flops
        tokens = 512 * 64 * 4 * round(flops / per_token / (512 * 64 * 4))
        rate = {"lr_scheduler": {"peak_value": 2e-3}, "weight_decay": 0.1}
        configs.append(
            config_json(
                shape, total_train_tokens=tokens, train_batch_size=64, max_runtime_seconds=2000.0,
                optimizer_config=rate,
            )
        )  # fmt: skip
    return configs
