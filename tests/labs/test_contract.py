"""The wire: what is taken, what is refused and where, what counts as the same."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from isoflop.labs.contract.rules import Windows, violations
from isoflop.labs.contract.statuses import Completed, Failed, Queued, Running
from isoflop.labs.contract.training_config import AdamWConfig, SGDConfig, TrainingConfig
from isoflop.labs.store.experiments import STATUS
from tests.support.labs import ARCHITECTURE, config_json, training_config


def refused_at(config: dict[str, Any]) -> set[tuple[str, str]]:
    """Where a config is refused, and the kind of the refusal."""
    try:
        read = TrainingConfig.model_validate(config)
    except ValidationError as error:
        return {(".".join(map(str, one["loc"])), one["type"]) for one in error.errors()}
    return {(".".join(rule.fields), "rule") for rule in violations(read, Windows())}


def test_a_legal_config_has_all_defaults_filled_in() -> None:
    config = training_config()
    assert refused_at(config_json()) == set()
    assert config.model_dump(mode="json") == {
        "architecture_config": ARCHITECTURE,
        "optimizer_config": {
            "lr_scheduler": {
                "peak_value": 3e-4,
                "final_lr_frac": 0.1,
                "warmup_frac": 0.05,
                "init_value": 0.0,
            },
            "weight_decay": 0.01,
            "beta1": 0.9,
            "beta2": 0.95,
            "eps": 1e-8,
            "eps_root": 1e-8,
            "grad_clip_norm": 1.0,
        },
        "train_batch_size": 8,
        "val_batch_size": 8,
        "n_evals": 4,
        "total_train_tokens": 65_536,
        "max_runtime_seconds": 120.0,
        "model_seed": 0,
    }
    defaults = TrainingConfig.model_fields
    assert (defaults["n_evals"].default, defaults["model_seed"].default) == (16, 0)


@pytest.mark.parametrize(
    ("optimizer", "kind"),
    [
        ({}, AdamWConfig),
        ({"lr_scheduler": {}}, SGDConfig),
        ({"lr_scheduler": {}, "grad_clip_norm": None}, SGDConfig),
        ({"grad_clip_norm": None}, AdamWConfig),
        ({"lr_scheduler": {}, "weight_decay": 0.0}, AdamWConfig),
    ],
)
def test_the_optimizers_kind_follows_its_fields(optimizer: dict[str, Any], kind: type) -> None:
    read = training_config(optimizer_config=optimizer)
    assert type(read.optimizer_config) is kind
    assert TrainingConfig.model_validate(read.model_dump(mode="json")) == read


@pytest.mark.parametrize("name", ARCHITECTURE)
def test_every_field_of_the_architecture_is_required(name: str) -> None:
    architecture = {key: value for key, value in ARCHITECTURE.items() if key != name}
    config = config_json() | {"architecture_config": architecture}
    assert refused_at(config) == {(f"architecture_config.{name}", "missing")}


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"total_train_tokens": 65_537}, "total_train_tokens.train_batch_size"),
        ({"n_evals": 3}, "n_evals.total_train_tokens.train_batch_size"),
        ({"val_batch_size": 3}, "val_batch_size"),
        ({"total_train_tokens": 500_000_000_001}, "total_train_tokens"),
        ({"max_runtime_seconds": 0.999}, "max_runtime_seconds"),
        ({"max_runtime_seconds": 43_200.1}, "max_runtime_seconds"),
        ({"max_runtime_seconds": NAN}, "max_runtime_seconds"),
        ({"max_runtime_seconds": "60"}, "max_runtime_seconds"),
        ({"max_runtime_seconds": True}, "max_runtime_seconds"),
        ({"train_batch_size": 8.5}, "train_batch_size"),
        ({"model_seed": -1}, "model_seed"),
        ({"unknown": 1}, "unknown"),
        ({"optimizer_config": None}, "optimizer_config.AdamWConfig optimizer_config.SGDConfig"),
        ({"optimizer_config": {"lr_scheduler": None}}, "optimizer_config.lr_scheduler"),
        ({"optimizer_config": {"beta1": 1.0}}, "optimizer_config.beta1"),
        ({"optimizer_config": {"beta2": -0.1}}, "optimizer_config.beta2"),
        ({"optimizer_config": {"eps": 0}}, "optimizer_config.eps"),
        ({"optimizer_config": {"eps_root": -1}}, "optimizer_config.eps_root"),
        ({"optimizer_config": {"weight_decay": INF}}, "optimizer_config.weight_decay"),
        ({"optimizer_config": {"grad_clip_norm": 0}}, "optimizer_config.grad_clip_norm"),
        ({"optimizer_config": {"momentum": 0.9}}, "optimizer_config.momentum"),
        *(
            ({"optimizer_config": {"lr_scheduler": {name: value}}}, f"optimizer_config.lr_scheduler.{name}")
            for name, value in [
                ("peak_value", 0), ("peak_value", NAN), ("final_lr_frac", 1.1), ("warmup_frac", 1),
                ("init_value", -1),
            ]
        ),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(fields: dict[str, Any], at: str) -> None:
    assert {place for place, _ in refused_at(config_json(**fields))} == set(at.split())


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"hidden_size": 192}, "hidden_size.num_attention_heads.head_dim"),
        ({"num_key_value_heads": 2}, "num_key_value_heads.num_attention_heads"),
        ({"intermediate_size": 128}, "intermediate_size.hidden_size"),
        ({"head_dim": 33}, "head_dim"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"rms_norm_eps": 0}, "rms_norm_eps"),
        ({"rope_theta": 0.5}, "rope_theta"),
        ({"rope_theta": 0}, "rope_theta"),
        ({"dtype": "float16"}, "dtype"),
        ({"attention_bias": 0}, "attention_bias"),
        ({"vocab_size": None}, "vocab_size"),
    ],
)
def test_a_wrong_field_of_the_architecture_is_named(fields: dict[str, Any], at: str) -> None:
    assert {place for place, _ in refused_at(config_json(fields))} == {f"architecture_config.{at}"}


def test_every_broken_rule_is_told_at_once() -> None:
    config = config_json({"hidden_size": 192, "num_key_value_heads": 3}, val_batch_size=3, n_evals=3)
    assert len(refused_at(config)) == 4


def test_the_rules_follow_the_labs_windows() -> None:
    config = training_config(total_train_tokens=8 * 128, n_evals=1, val_batch_size=1024)
    assert len([*violations(config, Windows())]) == 2
    assert not [*violations(config, Windows(context_length=128))]


def test_the_same_config_is_the_same_by_value_and_no_field_is_forgotten() -> None:
    config = training_config()
    spelled = config.model_dump(mode="json") | {"max_runtime_seconds": 120, "train_batch_size": 8.0}
    assert TrainingConfig.model_validate(spelled).config_id == config.config_id
    others = [
        training_config(max_runtime_seconds=121.0),
        training_config(model_seed=1),
        training_config(n_evals=2),
        training_config(val_batch_size=4),
        training_config(optimizer_config={"lr_scheduler": {}}),
        training_config(optimizer_config={"eps_root": 0.0}),
        *(training_config({name: value}) for name, value in [("rope_theta", 9999), ("attention_bias", True)]),
    ]
    assert len({config.config_id, *(other.config_id for other in others)}) == 1 + len(others)


QUEUED = {"queued_at": "2026-01-02T03:04:05Z"}
STARTED = QUEUED | {"dispatched_at": "2026-01-02T03:04:06Z", "run_id": "r"}
ENDED = STARTED | {"used_runtime_seconds": 2.0}
END = "2026-01-02T03:04:07Z"
LOSSES = {"val_losses": [3.5]}
FAILED = ENDED | {"status_type": "failed", "failed_at": END}
TIMEOUT = {"reason": "timeout", "partial_val_losses": []}
UNEXPECTED = {"reason": "unexpected", "failure": "diverged"}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Queued, QUEUED | {"status_type": "queued"}),
        (Running, STARTED | LOSSES | {"status_type": "running"}),
        (Completed, ENDED | LOSSES | {"status_type": "completed", "completed_at": END}),
        (Failed, FAILED | {"reason": TIMEOUT}),
        (Failed, FAILED | {"reason": UNEXPECTED}),
    ],
)
def test_a_status_has_exactly_its_fields(kind: type, fields: dict[str, Any]) -> None:
    status = STATUS.validate_python(fields)
    assert type(status) is kind
    assert status.model_dump(mode="json") == fields
    for wrong in (fields | {"more": 1}, *({k: v for k, v in fields.items() if k != name} for name in fields)):
        with pytest.raises(ValidationError):
            STATUS.validate_python(wrong)
