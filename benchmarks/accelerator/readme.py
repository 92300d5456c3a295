"""The README of a folder of results: the machine, the tables, and the commands that repeat them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.accelerator import correctness, ladder, speed
from benchmarks.accelerator.ceilings import CEILINGS
from benchmarks.accelerator.machine import host
from benchmarks.accelerator.part import START_SECONDS, Part
from benchmarks.accelerator.tables import Table
from benchmarks.processes import MeasurementError, Measurer
from isoflop.base.provenance import provenance

MACHINE = Table("machine", ("what", "value"), "What was measured on.")
TABLES = (CEILINGS, *correctness.TABLES, *speed.TABLES, *ladder.TABLES)
COMMAND = "python -m benchmarks.accelerator --out DIR"


def describe(part: Part) -> str:
    """File what is measured on, anew; return the device's name, or the reason why JAX finds none."""
    MACHINE.file(part.out).unlink(missing_ok=True)
    with Measurer("benchmarks.accelerator.machine.jax_device", part.env) as measurer:
        try:
            seen = measurer.measure({}, 60.0 + START_SECONDS)
        except MeasurementError as error:
            seen = {"device": f"none: {error}"}
    origin = provenance()
    known = {"isoflop": origin.version, "date": datetime.now(UTC).strftime("%Y-%m-%d")}
    for what, value in {**seen, **host(), **known}.items():
        part.append(MACHINE, {"what": what, "value": value})
    return seen["device"]


def write_readme(out: Path) -> dict[str, Any]:
    """Write DIR/README.md from the tables in DIR; return how many rows each has, and how many without a
    number."""
    (out / "README.md").write_text("\n\n".join(_sections(out)) + "\n")
    counts: dict[str, Any] = {}
    for table in TABLES:
        if rows := table.read(out):
            counts[f"{table.name}_rows"] = len(rows)
            counts[f"{table.name}_without_a_number"] = sum(bool(row["error"]) for row in rows)
    return counts


def _sections(out: Path) -> Iterator[str]:
    machine = {row["what"]: row["value"] for row in MACHINE.read(out)}
    yield f"# {machine.get('device', 'Measurements of an accelerator')}"
    yield f"Repeat with `{COMMAND}` in a clone, with JAX for the device; docs/accelerators.md has more."
    yield MACHINE.markdown(out)
    for table in TABLES:
        if rows := table.markdown(out):
            yield f"## {table.name}.csv"
            yield table.about
            yield rows
    yield from _of_the_ladder(out)


def _of_the_ladder(out: Path) -> Iterator[str]:
    """The fit and the score of the ladder, where there are."""
    if (out / "fit.json").exists():
        fit = json.loads((out / "fit.json").read_text())
        yield "## fit.json"
        yield "The law fitted to all runs of the ladder, the largest budget's among them."
        intervals = fit["intervals"]["params"]
        yield "\n".join(
            f"- {name} {_number(value)}, {fit['intervals']['level']:.0%} interval "
            f"{' to '.join(map(_number, intervals.get(name, ())))}"
            for name, value in fit["params"].items()
        )
    for path in sorted(out.glob("forecasts/*/score.json")):
        score = json.loads(path.read_text())
        measured, registered = score["measured"], score["methods"][0]["forecast"]
        yield f"## {path.relative_to(out)}"
        yield "\n".join(
            (
                f"- registered: loss {_number(registered['loss'])}, N_opt {_number(registered['n_opt'])}",
                f"- measured: loss {_number(measured['loss'])}, N_opt {_number(measured['n_opt'])}",
                f"- mean absolute error of the cells, nats: {_number(score['mean_abs_error'])}",
                f"- share of the cells inside their intervals: {_number(score['coverage'])}",
            )
        )


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.5g}"
