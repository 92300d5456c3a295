"""What answers a submission: the surrogate's laws, the table's replays, and what both charge."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoflop.base.errors import UserError
from isoflop.labs.admission import final_violations, run_violations
from isoflop.labs.backends import known_backends, load_backend
from isoflop.labs.backends.backend import TIMEOUT, Outcome
from isoflop.labs.backends.surrogate import recipe_of
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.lab import Lab
from isoflop.labs.pricing import Machine
from isoflop.labs.truth import Recipe, truth_of
from tests.support.labs import config_json, make_lab, training_config

B200_RUN: dict[str, Any] = {
    "architecture": {
        "hidden_size": 1024,
        "intermediate_size": 2816,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "num_hidden_layers": 16,
        "vocab_size": 32_000,
    },
    "train_batch_size": 256,
    "total_train_tokens": 512 * 256 * 32_000,
    "n_evals": 16,
    "max_runtime_seconds": 20_000.0,
}


def trained(lab: Lab, config: TrainingConfig, student: str = "ann") -> Outcome:
    backend = load_backend(lab)
    assert run_violations(config, lab.settings, backend) == []
    return backend.train(student, config, lambda losses: None)


def test_the_backends_are_these() -> None:
    assert {"surrogate", "table", "train"} <= set(known_backends())


def test_four_million_parameters_on_65_thousand_tokens_fit_120_seconds(lab: Lab) -> None:
    config = training_config()
    price = load_backend(lab).price(config)
    # By hand: 4 layers of 4 h^2 + 3 h i, norms of 2 h + 2 head_dim, a final norm, two matrices of h V.
    body = 4 * (4 * 256**2 + 3 * 256 * 1024 + 2 * 256 + 2 * 64) + 256
    assert price.n_params_total == body + 2 * 256 * 512
    assert price.n_params_non_embedding == body + 256 * 512
    outcome = trained(lab, config)
    assert outcome.failure is None
    assert len(outcome.val_losses) == 4
    assert outcome.used_seconds == pytest.approx(price.seconds)
    assert 0 < outcome.used_seconds < 120


def test_flops_are_three_times_the_forward_passs_products(lab: Lab) -> None:
    config = training_config()
    products = 4 * (4 * 256**2 + 3 * 256 * 1024) + 256 * 512 + 4 * 2 * 256 * 512
    assert load_backend(lab).price(config).flops == 3 * 2 * products * 65_536


def test_the_last_loss_is_the_law_plus_small_noise(lab: Lab) -> None:
    truth = truth_of(lab.secret, "ann")
    configs = [training_config(**B200_RUN, model_seed=seed) for seed in range(40)]
    expected = truth.loss(recipe_of(configs[0], lab.settings))
    off = [trained(lab, config).val_losses[-1] - expected for config in configs]
    assert np.std(off) == pytest.approx(truth.seed_noise, rel=0.35)
    assert abs(np.mean(off)) < 4 * truth.seed_noise / math.sqrt(len(off))


def test_losses_fall_while_it_trains(lab: Lab) -> None:
    losses = trained(lab, training_config(**B200_RUN)).val_losses
    assert len(losses) == 16
    assert all(later < sooner for sooner, later in pairwise(losses))


def test_noise_is_no_dice_to_be_thrown_again(lab: Lab) -> None:
    """What would not change real training does not change the result: it can't be averaged for free."""
    config = training_config(**B200_RUN)
    last = trained(lab, config).val_losses[-1]
    for change in ({"max_runtime_seconds": 20_001.0}, {"n_evals": 8}, {"val_batch_size": 4}):
        assert trained(lab, config.model_copy(update=change)).val_losses[-1] == last
    assert trained(lab, config.model_copy(update={"model_seed": 1})).val_losses[-1] != last


def test_each_student_has_an_own_law_of_secret_and_name_alone(lab: Lab, tmp_path: Path) -> None:
    config = training_config(**B200_RUN)
    again = dataclasses.replace(lab, folder=tmp_path / "elsewhere")  # where keys.csv is another, or none
    assert trained(again, config) == trained(lab, config)
    other = make_lab(tmp_path / "other")
    results = {trained(lab, config), trained(lab, config, "bob"), trained(other, config)}
    assert len(results) == 3
    assert truth_of(b"s" * 32, "ab") != truth_of(b"s" * 32, "ba")


@pytest.mark.parametrize("student", [f"student-{number}" for number in range(20)])
def test_every_law_is_a_plausible_one(student: str) -> None:
    truth = truth_of(b"secret" * 6, student)
    N_G = np.geomspace(1e7, 1e10, 400)
    for C in (1e18, 1e19, 1e20):
        tokens = C / (6 * N_G)
        recipe = Recipe(N_G, tokens, 2.0**17, 1e-3)
        loss_G = truth.loss(dataclasses.replace(recipe, rate=truth.best_rate_at(recipe)))
        best = int(np.argmin(loss_G))
        assert 2 < tokens[best] / N_G[best] < 200
        assert 2.3 < loss_G[best] < 4.2


def test_a_rate_too_high_diverges_and_pays_for_what_it_used(lab: Lab) -> None:
    hot = {"lr_scheduler": {"peak_value": 3.0}, "eps": 1e-8}
    config = training_config(**B200_RUN, optimizer_config=hot)
    outcome = trained(lab, config)
    assert outcome.failure is not None
    assert "diverged" in outcome.failure
    assert outcome.used_seconds == pytest.approx(load_backend(lab).price(config).seconds / 16)


def test_a_rate_too_low_learns_little(lab: Lab) -> None:
    config = training_config(optimizer_config={"lr_scheduler": {"peak_value": 5e-324}, "eps": 1e-8})
    assert all(10 < loss < 10.5 for loss in trained(lab, config).val_losses)


def test_a_run_is_stopped_at_its_reservation_with_grace(lab: Lab) -> None:
    config = training_config(**B200_RUN)
    whole = trained(lab, config)
    price = load_backend(lab).price(config).seconds

    def reserved(share: float) -> Outcome:
        return trained(lab, config.model_copy(update={"max_runtime_seconds": price * share}))

    assert reserved(0.985) == whole  # within the grace of two per cent
    stopped = reserved(0.5)
    assert (stopped.failure, stopped.val_losses) == (TIMEOUT, whole.val_losses[:8])
    assert 0.5 * price < stopped.used_seconds < 0.515 * price
    assert reserved(0.01).val_losses == ()


def test_a_small_vocabulary_is_no_cheap_way_to_a_low_loss(lab: Lab) -> None:
    full = training_config(**B200_RUN)
    losses = []
    for vocab_size in (1, 1000, 16_000, 32_000):
        architecture = full.architecture_config.model_copy(update={"vocab_size": vocab_size})
        config = full.model_copy(update={"architecture_config": architecture})
        losses.append(trained(lab, config).val_losses[-1])
    assert losses == sorted(losses, reverse=True)


def test_a_model_too_large_is_refused_with_the_arithmetic(lab: Lab) -> None:
    huge = training_config({"num_hidden_layers": 10**200})
    for found in (
        run_violations(huge, lab.settings, load_backend(lab)),
        final_violations(huge, lab.settings, load_backend(lab)),
    ):
        assert [violation.fields[-2] for violation in found] == ["num_hidden_layers"]
        assert "* 4 bytes of float32 * 4" in found[0].message


def test_in_flops_the_price_is_exact(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "flops", budget_unit="flops", machine=Machine(flops_per_second=1e12))
    config = training_config(max_runtime_seconds=10.0)
    price = load_backend(lab).price(config)
    assert price.seconds == pytest.approx(price.flops / 1e12)
    assert trained(lab, config).used_seconds == pytest.approx(price.seconds)
    below = config.model_copy(update={"max_runtime_seconds": math.nextafter(price.seconds, 0)})
    found = run_violations(below, lab.settings, load_backend(lab))
    assert [violation.fields for violation in found] == [("max_runtime_seconds",)]
    assert repr(price.seconds) in found[0].message


TABLE = "n_params_non_embedding,n_tokens,loss\n4.2e6,65536,5.5\n4.2e6,32768,6.0\n1e8,1e9,3.0\n"


def test_a_table_replays_the_nearest_run_or_refuses(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text(TABLE)
    lab = make_lab(tmp_path / "lab", backend="table", table="../runs.csv")
    assert trained(lab, training_config()).val_losses == (6.0, 6.0, 5.5, 5.5)
    far = training_config(total_train_tokens=4096 * 64)
    found = run_violations(far, lab.settings, load_backend(lab))
    assert found[0].fields == ("total_train_tokens", "architecture_config")
    assert "the nearest has 4.2e+06 and 6.554e+04" in found[0].message
    assert final_violations(far, lab.settings, load_backend(lab)) == []


def test_backends_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown backend 'magic': known are surrogate, table, train"):
        load_backend(make_lab(tmp_path / "magic", backend="magic"))
    with pytest.raises(UserError, match="--table FILE"):
        load_backend(make_lab(tmp_path / "table", backend="table"))


def test_every_config_of_the_contract_has_finite_losses(lab: Lab) -> None:
    """At the contract's own extremes."""
    for schedule in (
        {"init_value": 1e-3, "peak_value": 1e-300},
        {"warmup_frac": 0.999, "final_lr_frac": 1.0},
    ):
        config = training_config(optimizer_config={"lr_scheduler": schedule, "eps": 1e-8})
        assert np.isfinite(trained(lab, config).val_losses).all()
    wide = config_json({"hidden_size": 2, "head_dim": 2, "num_attention_heads": 1, "num_key_value_heads": 1})
    wide["architecture_config"] |= {"num_hidden_layers": 1000, "intermediate_size": 10**6}
    assert np.isfinite(trained(lab, TrainingConfig.model_validate(wide)).val_losses).all()
