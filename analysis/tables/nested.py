"""Tables with more than a value in a cell: dictionaries in cells, records by name, a chart of runs."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from isoflop.analysis.tables.cells import one_line
from isoflop.base.errors import UserError

NUMBERS = {"nan": float("nan"), "inf": float("inf"), "Infinity": float("inf"), "NaN": float("nan"),
           "null": None, "true": True, "false": False}  # fmt: skip
"""What a printed dictionary may hold that is no Python literal."""
STEPS = ("step", "_step", "global_step", "relative time", "wall time", "trainer/global_step")


def refuse_chart(frame: pd.DataFrame, where: str) -> None:
    """Raises `UserError` for a chart's export, which has a row a step: W&B's, TensorBoard's."""
    names = [str(name) for name in frame.columns]
    if [name.lower() for name in names] == ["wall time", "step", "value"]:
        raise UserError(
            f"{where} is a curve exported from TensorBoard, a row a step: a table of runs has a row a run, "
            "with loss and two of n_params, n_tokens, flops"
        )
    bounds = [name for name in names if re.search(r" - .+__(MIN|MAX)$", name)]
    curves = [name for name in names[1:] if " - " in name]
    steps = bool(names) and any(names[0].lower().split(" (")[0].endswith(step) for step in STEPS)
    if bounds or (steps and len(curves) == len(names) - 1 > 0):
        shown = one_line((bounds or curves)[0], 60)
        raise UserError(
            f"{where} is a chart exported from W&B, a row a step and a column a run ({shown!r}): export the "
            "project's table of runs instead (Runs, then Export as CSV), or name it wandb:entity/project"
        )


def expand(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with each column of dictionaries, or of text that is one, as columns `column.key`."""
    parts = []
    for name in frame.columns:
        rows = _dictionaries(pd.Series(frame[name]))
        if rows is None:
            parts.append(frame[[name]])
            continue
        flat = pd.DataFrame([dict(single_values(row, f"{name}.")) for row in rows], index=frame.index)
        parts.append(flat)
    return pd.concat(parts, axis=1) if len(parts) else frame


def records(data: Any) -> list[dict[str, Any]] | None:
    """The rows of JSON that pandas reads otherwise: records by name, records under one key, one record.

    A name becomes the column `name`. None where the JSON is a list of records or columns of values.
    """
    if not isinstance(data, dict) or not data:
        return None
    if len(lists := [value for value in data.values() if _are_records(value)]) == 1:
        return lists[0]
    if all(isinstance(value, dict) for value in data.values()):
        if all(str(key).isdigit() for value in data.values() for key in value):
            return None  # columns, by the number of the row
        return [{"name": name, **value} for name, value in data.items()]
    if all(_are_records(value) for value in data.values()):
        return [{"name": name, **row} for name, rows in data.items() for row in rows]
    if not any(isinstance(value, dict | list) for value in data.values()):
        return [data]
    return None


def _are_records(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(isinstance(row, dict) for row in value)


def _dictionaries(cells: pd.Series) -> list[Mapping[str, Any]] | None:
    """The cells as dictionaries, empty ones as empty; None where some cell is none."""
    if not (pd.api.types.is_object_dtype(cells.dtype) or pd.api.types.is_string_dtype(cells.dtype)):
        return None
    rows = []
    for cell in cells:
        if isinstance(cell, Mapping):
            rows.append(cell)
        elif isinstance(cell, str) and cell.strip().startswith("{"):
            if (read := _read(cell.strip())) is None:
                return None
            rows.append(read)
        elif cell is None or cell is pd.NA or (isinstance(cell, float) and cell != cell) or cell == "":
            rows.append({})
        else:
            return None
    return rows if any(rows) else None


def _read(text: str) -> Mapping[str, Any] | None:
    """A dictionary written as JSON, or as Python prints it."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(_Plain().visit(ast.parse(text, mode="eval")))
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            return None
    return value if isinstance(value, Mapping) else None


class _Plain(ast.NodeTransformer):
    """Turns what Python prints of numbers into literals: `nan`, `np.float64(3.0)`."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(NUMBERS[node.id]) if node.id in NUMBERS else node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        return self.visit(node.args[0]) if len(node.args) == 1 and not node.keywords else node


def single_values(
    values: Mapping[str, Any], prefix: str = "", private: bool = True
) -> Iterator[tuple[str, Any]]:
    """Single values under joined names, also those whose key begins with _ if `private`.

    `{"value": 3, "desc": null}` is W&B's way to write 3.
    """
    for key, value in values.items():
        if str(key).startswith("_") and not private:
            continue
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and "value" in value and set(value) <= {"value", "desc"}:
            value = value["value"]
        if isinstance(value, Mapping):
            yield from single_values(value, f"{name}.", private)
        elif value is None or isinstance(value, str | int | float | bool):
            yield name, value
