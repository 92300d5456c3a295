"""The family rule and the shapes it refuses."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from isoflop.base.errors import UserError
from isoflop.models import ModelConfig, family, family_of_size, ledger
from isoflop.models.family import HEAD_DIM, MAX_WIDTH, MIN_DEPTH, MIN_HEADS, family_widths
from isoflop.sweeps.grids.config import config_names, load_config

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
    assert max(gaps) < 1.5**2, "a target between two members would be refused"


@pytest.mark.parametrize("width", WIDTHS)
def test_heads_share_the_width_evenly(width: int) -> None:
    config = of_width(width)
    assert config.heads * config.head_dim == config.width == width
    assert config.head_dim <= HEAD_DIM
    assert config.heads >= MIN_HEADS
    assert config.head_dim % 2 == 0
    assert config.depth >= MIN_DEPTH


@pytest.mark.parametrize("mlp", ["swiglu", "gelu", "relu2"])
def test_nothing_jumps_between_neighbours(mlp: str) -> None:
    """Sizes differ in size alone: as many heads everywhere, or heads of one size; depth never by more than a
    layer; the feed-forward ratio and the sharpness of attention nowhere."""
    for small, large in itertools.pairwise(of_width(width, mlp=mlp) for width in WIDTHS):
        assert small.ff_width * large.width == large.ff_width * small.width
        assert small.max_attention_logit == large.max_attention_logit
        assert 0 <= large.depth - small.depth <= 1
        if large.width <= MIN_HEADS * HEAD_DIM:
            assert small.heads == large.heads == MIN_HEADS
        else:
            assert large.head_dim == HEAD_DIM
            assert 0 <= large.heads - small.heads <= 1


@pytest.mark.parametrize("name", config_names())
def test_every_ladder_of_ours_is_of_one_make(name: str) -> None:
    config = load_config(name)
    shapes = [of_width(width) for width in config.ladder]
    assert {shape.ff_width / shape.width for shape in shapes} == {3.0}
    assert all(shape.heads == MIN_HEADS or shape.head_dim == HEAD_DIM for shape in shapes)
    assert [s.depth for s in shapes] == sorted(s.depth for s in shapes)


def test_the_feed_forward_ratio_is_a_whole_number() -> None:
    """A gated layer of three matrices has 9/8 of an ungated one's parameters, at every width."""
    for width in WIDTHS:
        gated, ungated = (ledger(of_width(width, mlp=mlp)).parameters["mlp"] for mlp in ("swiglu", "gelu"))
        assert 8 * gated == 9 * ungated == 8 * 9 * of_width(width).depth * width**2


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


@pytest.mark.parametrize("width", [-8, 0, 2, 4, 9, 12, 30])
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
