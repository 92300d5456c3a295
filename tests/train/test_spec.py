"""Values to JSON and back, and their names by content."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from isoflop.base.errors import UserError
from isoflop.base.json_values import canonical_json, content_id, from_json, to_json
from isoflop.sweeps.grids.config import SweepConfig, load_config
from isoflop.train.spec import CellSpec, Recipe, Segment
from tests.support.small import small_recipe

CELL = CellSpec(small_recipe(), steps=50)
SEGMENT = Segment(small_recipe(), 10, 50, 50, parent="ab" * 8)
VALUES = [CELL, SEGMENT, replace(SEGMENT, total=None, parent=None), load_config("cpu-demo")]


CROWDED = ("heads", "kv_heads", "experts_per_token", "granularity")
"""Each is bound to another, so that one alone can't change in these values."""


def changes(value: Any, hints: dict[str, Any]) -> list[Any]:
    """The value with each single field, at any depth, changed to something else of its kind."""
    changed = []
    for field in fields(value):
        if field.name in CROWDED or field.name == "distillation":  # tests/train/test_distillation.py has it
            continue
        old = getattr(value, field.name)
        hint = hints[field.name]
        if is_dataclass(old):
            new = changes(old, get_type_hints(type(old)))
        elif get_origin(hint) is Literal:
            new = [choice for choice in get_args(hint) if choice != old]
        elif old is None:
            new = [0]
        elif isinstance(old, bool):
            new = [not old]
        elif isinstance(old, str):
            new = [old + "x"]
        elif isinstance(old, tuple):
            new = [(*old, "x")]
        else:
            new = [2 * old + 2 if isinstance(old, int) else 0.5 * old + 0.125]
        changed += [replace(value, **{field.name: one}) for one in new]
    return changed


@pytest.mark.parametrize("value", VALUES, ids=lambda v: type(v).__name__)
def test_values_go_to_json_and_back(value: Any) -> None:
    again = from_json(type(value), json.loads(json.dumps(to_json(value))))
    assert again == value
    assert content_id(again) == content_id(value)


@pytest.mark.parametrize("value", VALUES, ids=lambda v: type(v).__name__)
def test_the_canonical_json_is_the_plain_one_with_sorted_keys(value: Any) -> None:
    again = from_json(type(value), to_json(value))  # nothing of it was asked before
    plain = to_json(value)
    if plain.get("eval_data") == [] and "recipe" in plain:
        del plain["eval_data"]  # a cell that doesn't use it has the name that cells had before
    assert canonical_json(again) == json.dumps(plain, sort_keys=True, separators=(",", ":"))
    assert canonical_json(value) == canonical_json(again)


@pytest.mark.parametrize("value", [CELL, SEGMENT], ids=lambda v: type(v).__name__)
def test_every_field_is_part_of_the_name(value: Any) -> None:
    others = changes(value, get_type_hints(type(value)))
    assert len(others) > 25
    assert len({content_id(other) for other in [value, *others]}) == len(others) + 1


@pytest.mark.parametrize("seed", ["0", "1"])
def test_names_are_the_same_in_every_process(seed: str) -> None:
    code = (
        "from tests.support.small import small_recipe; from isoflop.train.spec import CellSpec;"
        "print(CellSpec(small_recipe(), steps=50).cell_id)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == CELL.cell_id


@pytest.mark.parametrize(
    ("cls", "path", "wrong"),
    [
        (CellSpec, ("steps",), "many"),
        (CellSpec, ("recipe", "model", "width"), None),
        (CellSpec, ("recipe", "schedule", "warmup_steps"), "constant"),
        (Segment, ("stop",), [1]),
        (SweepConfig, ("budgets",), "1e9"),
        (SweepConfig, ("rates", "coefficient"), "high"),
    ],
)
def test_json_that_does_not_fit_names_the_field(cls: Any, path: tuple[str, ...], wrong: Any) -> None:
    good = next(to_json(v) for v in VALUES if type(v) is cls)
    inner = good
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = wrong
    with pytest.raises(UserError, match=".".join(path)):
        from_json(cls, good)
    del inner[path[-1]]
    with pytest.raises(UserError, match=path[-1]):
        from_json(cls, good)


def test_json_of_a_shape_that_cannot_be_built_is_refused() -> None:
    value = to_json(CELL)
    value["recipe"]["model"]["head_dim"] = 7
    with pytest.raises(UserError, match="head_dim: Input should be a multiple of 2"):
        from_json(CellSpec, value)


def test_lengths_and_costs() -> None:
    tokens_a_step = 4 * 32
    assert CELL.tokens == 50 * tokens_a_step
    assert CELL.flops == CELL.tokens * CELL.recipe.ledger.train_flops
    assert SEGMENT.flops == 40 * tokens_a_step * CELL.recipe.ledger.train_flops


def test_text_that_is_not_repeated_is_no_part_of_a_name() -> None:
    recipe = small_recipe()
    assert "unique_windows" not in recipe.canonical
    assert from_json(Recipe, to_json(recipe)) == recipe
    part = replace(recipe, unique_windows=5)
    assert '"unique_windows":5' in part.canonical
    assert from_json(Recipe, to_json(part)) == part
