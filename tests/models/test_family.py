"""The family rule and the shapes it refuses."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from isoflop.base.errors import UserError
from isoflop.models import ModelConfig, family, family_of_size, ledger
from isoflop.models.family import MAX_HEAD_DIM, MAX_WIDTH, MIN_DEPTH, family_widths

WIDTHS = list(family_widths())
COUNTS = ("total", "non_embedding", "body")


def of_width(width: int, **overrides: Any) -> ModelConfig:
    """The member of `width` on bytes at the demo's context."""
    return family(width, vocab_size=256, context_length=128, **overrides)


@pytest.mark.parametrize("count", COUNTS)
def test_sizes_rise_with_the_width(count: str) -> None:
    sizes = [ledger(of_width(width)).params(count) for width in WIDTHS]
    assert sizes == sorted(set(sizes))


def test_the_family_reaches_from_five_thousand_to_a_billion() -> None:
    sizes = [ledger(of_width(width)).params() for width in WIDTHS]
    assert sizes[0] < 5e3
    assert sizes[-1] > 1e9
    assert WIDTHS[-1] == MAX_WIDTH
    gaps = [b / a for a, b in itertools.pairwise(sizes[1:])]
    assert sizes[1] < 5e3
    assert max(gaps) < 1.5**2, "a target between two members would be refused"


@pytest.mark.parametrize("width", WIDTHS)
def test_heads_share_the_width_evenly(width: int) -> None:
    config = of_width(width)
    assert config.heads * config.head_dim == config.width == width
    assert config.head_dim <= MAX_HEAD_DIM
    assert config.head_dim % 2 == 0
    assert config.depth >= MIN_DEPTH


@pytest.mark.parametrize("mlp", ["swiglu", "gelu", "relu2"])
def test_a_gated_layer_has_about_the_parameters_of_an_ungated_one(mlp: str) -> None:
    assert ledger(of_width(256, mlp=mlp)).parameters["mlp"] == pytest.approx(
        8 * of_width(256).depth * 256**2, rel=0.02
    )


@pytest.mark.parametrize("target", [5e3, 1e5, 3e6, 1.24e8, 1e9])
@pytest.mark.parametrize("count", ["total", "non_embedding"])
def test_the_nearest_member_by_ratio_is_found(target: float, count: str) -> None:
    def ratio(config: ModelConfig) -> float:
        size = ledger(config).params(count)
        return max(size / target, target / size)

    found = family_of_size(target, count=count, vocab_size=256, context_length=128)
    assert ratio(found) == min(ratio(of_width(width)) for width in WIDTHS) <= 1.5


@pytest.mark.parametrize("count", COUNTS)
def test_a_size_is_found_with_experts_too(count: str) -> None:
    options = {"experts": 4, "experts_per_token": 2}
    found = family_of_size(3e6, count=count, vocab_size=256, context_length=128, **options)
    assert found.experts == 4
    assert found.width in WIDTHS
    assert 2 / 3 <= ledger(found).params(count) / 3e6 <= 1.5
    assert ledger(found).params(count, active=True) < ledger(found).params(count)


def test_a_size_out_of_reach_names_the_nearest() -> None:
    with pytest.raises(
        UserError, match=r"no member of the family has about 1e\+03 .* the nearest has [\d,]+$"
    ):
        family_of_size(1e3, vocab_size=50_257, context_length=1024)


@pytest.mark.parametrize(("target", "count"), [(0, "total"), (-5, "total"), (1e6, "all")])
def test_a_senseless_target_is_refused(target: float, count: str) -> None:
    with pytest.raises(UserError):
        family_of_size(target, count=count, vocab_size=256, context_length=128)


@pytest.mark.parametrize("width", [-8, 0, 2, 9, 30])
def test_widths_outside_the_family_are_refused(width: int) -> None:
    with pytest.raises(UserError, match=f"width {width} is not in the family"):
        of_width(width)


@pytest.mark.parametrize(
    "wrong",
    [
        {"depth": 0},
        {"heads": 3, "kv_heads": 2},
        {"kv_heads": 0},
        {"head_dim": 7},
        {"head_dim": 0},
        {"ff_width": 0},
        {"vocab_size": 0},
        {"context_length": -1},
        {"mlp": "tanh"},
        {"experts": 0},
        {"experts_per_token": 0},
        {"experts_per_token": 5, "experts": 4},
        {"capacity_factor": 0.0, "experts": 4},
        {"capacity_factor": float("nan")},
        {"branch_scale": 0.0},
        {"rope_base": -1.0},
        {"norm_eps": float("inf")},
        {"document_separator": 256},
        {"document_separator": -1},
    ],
)
def test_a_shape_that_cannot_be_built_names_its_field(wrong: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "width": 8,
        "depth": 2,
        "heads": 2,
        "kv_heads": 2,
        "head_dim": 4,
        "ff_width": 24,
        "vocab_size": 256,
        "context_length": 32,
    }
    ModelConfig(**good)
    with pytest.raises(UserError, match=f"^model.{next(iter(wrong))} .*[^\n]$"):
        ModelConfig(**good | wrong)
