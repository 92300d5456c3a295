"""The programs that a GPU would run, lowered for CUDA with cuDNN's attention."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from isoflop.models import family
from isoflop.train.data.batches import CHUNK
from isoflop.train.execution import Execution
from isoflop.train.step import EVAL_BATCH, Programs, programs
from tests.support.cuda import lowered, shape, stand_in
from tests.support.small import BATCH, small_recipe

CONTEXT = 24
"""No other test's: programs are kept by shape, and these can't be run here."""

FORWARD, BACKWARD = "__cudnn$fmhaSoftmax(", "__cudnn$fmhaSoftmaxBackward("
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "experts": {"experts": 4, "experts_per_token": 2},
    "grouped": {"kv_heads": 2},
    "tied": {"tie_embeddings": True},
}


def arguments(program: Programs, members: int = 1) -> list[Any]:
    """Those of the program that trains so many members at once."""
    axis = (members,) if members > 1 else ()
    state = jax.tree.map(lambda x: shape(x.dtype, *axis, *x.shape), jax.eval_shape(program.init, 0))
    windows = shape(jnp.uint8, CHUNK * BATCH, CONTEXT + 1)
    rows, rates = shape(jnp.int32, *axis, CHUNK, BATCH), shape(jnp.float32, *axis, CHUNK)
    return [state, windows, rows, rates, shape(jnp.float32, *axis), CHUNK]


@pytest.mark.parametrize("remat", ["none", "dots", "block"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_members_packed_by_vmap_take_flash_attention(
    variant: str, remat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call a layer serves all members, and one more its gradient: cuDNN's batching rules are strict."""
    stand_in(monkeypatch)
    model = family(32, vocab_size=256, context_length=CONTEXT, **VARIANTS[variant])
    program = programs(small_recipe(model=model, dtype="bfloat16"), Execution(remat=remat), packing="vmap")
    text = lowered(program.train_members, *arguments(program, members=3))
    again = 1 if remat == "none" else 2
    assert text.count(f"@{FORWARD}") == again * model.depth
    assert text.count(f"@{BACKWARD}") == model.depth


def test_documents_apart_train_alone_and_recompute(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    model = family(32, vocab_size=256, context_length=CONTEXT, document_separator=0)
    program = programs(small_recipe(model=model, dtype="bfloat16"), Execution(remat="block"))
    text = lowered(program.train, *arguments(program))
    assert text.count("__cudnn$fmhaScaleBiasSoftmaxBackward") == model.depth


@pytest.mark.parametrize("remat", ["none", "dots", "block"])
def test_evaluation_recomputes_nothing(remat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    model = family(32, vocab_size=256, context_length=CONTEXT)
    program = programs(small_recipe(model=model, dtype="bfloat16"), Execution(remat=remat))
    params = jax.eval_shape(program.init, 0).params
    text = lowered(program.evaluate, params, shape(jnp.uint8, 2 * EVAL_BATCH, CONTEXT + 1))
    assert text.count(f"@{FORWARD}") == model.depth
