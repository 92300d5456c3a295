"""What people hand over, however it comes: a table, a data frame, a path, a fit; options by keyword."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from isoflop.analysis.columns.metrics import LOSS
from isoflop.analysis.laws import find_law, known_laws
from isoflop.analysis.options import FitOptions
from isoflop.analysis.provenance import is_stale
from isoflop.analysis.published import published_fit
from isoflop.analysis.result import LawFit
from isoflop.analysis.run_table import RunTable, load_runs
from isoflop.analysis.sources.measured import place_of
from isoflop.base.errors import UserError, perhaps

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Options = TypeVar("Options", bound="DataclassInstance")

READING = ("columns", "where", "metric")
"""Keywords of `load_runs` that are no options of a fit."""


def read_fit(path: str | Path) -> LawFit:
    """The fit in a `fit.json`, or in the one of a folder. Raises `UserError` for what is none."""
    path = place_of(path)
    path = path / "fit.json" if path.is_dir() else path
    try:
        return LawFit.from_json(json.loads(path.read_text()))
    except FileNotFoundError as error:
        raise UserError(
            f"no fit {path}{_law_meant(path)}: make one with isoflop fit RUNS --out DIR"
        ) from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a fit: make one with isoflop fit RUNS --out DIR") from error


def _law_meant(path: Path) -> str:
    """The published law that a path stands for by mistake: ` (perhaps chinchilla:besiroglu)`."""
    law, colon, name = path.name.partition(":")
    if len(path.parts) > 1:
        return ""
    meant = perhaps(law.replace("-", "_"), known_laws())
    return meant.replace(")", f":{name})") if colon and meant else meant


def stale(path: str | Path) -> tuple[str, ...]:
    """A warning where the run table beside a fit is another than the one that the fit was made of."""
    path = place_of(path)
    folder = path if path.is_dir() else path.parent
    if not is_stale(folder):
        return ()
    return (
        f"{folder / 'runs.csv'} has changed since the fit was made: isoflop report {folder} fits it anew",
    )


def holds_a_fit(path: str | Path) -> bool:
    """Whether a path stands for a fit: a `fit.json`, or a folder with one and no run table."""
    path = place_of(path)
    return path.name.endswith("fit.json") or (
        (path / "fit.json").exists() and not (path / "runs.csv").exists()
    )


def names_a_law(text: str) -> bool:
    """Whether it is a law's name, alone or with a set of constants after a colon: no path."""
    return text.partition(":")[0].replace("-", "_") in known_laws()


def as_table(runs: Any, law: str = "chinchilla", **reading: Any) -> RunTable:
    """A run table as it is, or what `load_runs` makes of anything else.

    `law`: the one to be fitted, whose target is the metric unless another is named.
    """
    given = {name: value for name, value in reading.items() if value is not None}
    if not isinstance(runs, RunTable):
        return load_runs(runs, law=law, **given)
    if given:
        raise UserError(f"{', '.join(given)}: the table is loaded already; give it to load_runs")
    wanted = find_law(law)
    return runs.measured(wanted) if runs.metric == LOSS and wanted.target != LOSS else runs


def as_fit(fit: Any) -> LawFit:
    """A fit as it is, the one in a file or folder, or a published one by its name.

    Raises `UserError` for anything else.
    """
    if isinstance(fit, LawFit):
        return fit
    if isinstance(fit, str) and not Path(fit).exists() and names_a_law(fit):
        return published_fit(fit)
    if isinstance(fit, str | Path):
        return read_fit(fit)
    raise UserError(f"{type(fit).__name__} is no fit: give a LawFit or the path of a fit.json")


def fit_options(options: FitOptions | None, named: dict[str, Any], function: str) -> FitOptions:
    """`options` with single fields replaced. Raises `UserError` for a name that is no option."""
    return options_of(FitOptions, options, named, f"{function}(runs, law=...)", READING)


def options_of(
    cls: type[Options], options: Options | None, named: dict[str, Any], call: str, further: Sequence[str] = ()
) -> Options:
    """`options`, or the defaults of `cls`, with single fields replaced; `call`: how the function is called.

    Raises `UserError` for a name that is no option, with one of these or of the `further` keywords near it.
    """
    if not isinstance(options, cls | None):
        raise UserError(f"options: give a {cls.__name__}, or its fields by keyword, as in {call}")
    fields = [field.name for field in dataclasses.fields(cls)]
    for name in named:
        if name not in fields:
            meant = perhaps(name, (*fields, *further))
            function = call.partition("(")[0]
            raise UserError(f"{function} has no option {name!r}{meant}: known are {', '.join(fields)}")
    return dataclasses.replace(cls() if options is None else options, **named)
