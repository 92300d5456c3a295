"""The role of each parameter, and a parameter without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import pytest
from flax import nnx

from isoflop.base.errors import UserError
from isoflop.models import build
from isoflop.models.roles import is_variable
from isoflop.train.step import programs
from tests.support.small import small_model, small_recipe

BLOCK = {
    "attention.qkv.kernel": "HiddenMatrix",
    "attention.out.kernel": "HiddenMatrix",
    "attention.query_norm.scale": "Scale",
    "attention.key_norm.scale": "Scale",
    "attention.convolution.taps": "Convolution",
    "attention_norm.scale": "Scale",
    "mlp_norm.scale": "Scale",
}
DENSE = {"mlp.up.kernel": "HiddenMatrix", "mlp.down.kernel": "HiddenMatrix"}
SPARSE = {f"mlp.experts.{name[4:]}": role for name, role in DENSE.items()}

UNTIED = {"embedding": "Embedding", "head.kernel": "Readout", "final_norm.scale": "Scale"}
TIED = {"embedding": "TiedEmbedding", "final_norm.scale": "Scale"}


@pytest.mark.parametrize(
    ("shape", "outside", "block"),
    [
        ({}, UNTIED, BLOCK | DENSE),
        ({"tie_embeddings": True}, TIED, BLOCK | DENSE),
        ({"experts": 3}, UNTIED, BLOCK | SPARSE | {"mlp.router.kernel": "Router"}),
    ],
    ids=["untied", "tied", "experts"],
)
def test_every_parameter_has_its_role(
    shape: dict[str, Any], outside: dict[str, str], block: dict[str, str]
) -> None:
    model = nnx.eval_shape(lambda: build(small_model(depth=1, **shape), seed=0))
    flat = jax.tree_util.tree_leaves_with_path(nnx.state(model), is_leaf=is_variable)
    found = {
        jax.tree_util.keystr(path, simple=True, separator="."): type(parameter).__name__
        for path, parameter in flat
    }
    assert found == outside | {f"blocks.0.{name}": role for name, role in block.items()}


@pytest.mark.parametrize("role", ["nnx.Param", "nnx.LoRAParam"])
def test_a_parameter_of_no_known_role_is_refused_by_its_name(role: str, tmp_path: Path) -> None:
    path = tmp_path / "biased.py"
    path.write_text(
        "import jax.numpy as jnp\n"
        "from flax import nnx\n"
        "from isoflop.models import decoder\n"
        "from isoflop.models.decoder import ledger\n"
        "class Model(decoder.Model):\n"
        "    def __init__(self, config, **options):\n"
        "        super().__init__(config, **options)\n"
        f"        self.blocks[1].bias = {role}(jnp.zeros(config.width))\n"
    )
    recipe = small_recipe(model=small_model(depth=2, architecture=str(path)))
    with pytest.raises(UserError, match=r"parameter blocks\.1\.bias is of type (LoRA)?Param,"):
        programs(recipe)
