"""Two fits side by side: their parameters, and how many times the FLOPs one needs for the other's loss."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from isoflop.analysis.approaches.fit import fit
from isoflop.analysis.comparison.multiplier import ComputeMultiplier, compute_multiplier
from isoflop.analysis.options import FitOptions
from isoflop.analysis.provenance import differences
from isoflop.analysis.result import Interval, LawFit
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.tables.cautions import MIXES
from isoflop.analysis.tables.cells import as_texts, listed
from isoflop.base.display import Displayed, Summary
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief, interval
from isoflop.base.json_values import Serializable

if TYPE_CHECKING:
    import pandas as pd

ALIKE = ("count", "count_meaning", "flops", "flops_meaning", "loss_unit")


@dataclass(frozen=True)
class Line:
    """One quantity of both fits. `overlap`: whether the intervals do; None where either has none."""

    name: str
    a: float | None
    b: float | None
    a_interval: Interval | None
    b_interval: Interval | None
    difference: float | None
    overlap: bool | None


@dataclass(frozen=True, repr=False)
class Comparison(Displayed, Serializable):
    """What `isoflop compare` prints."""

    lines: tuple[Line, ...]
    a: LawFit
    b: LawFit
    warnings: tuple[str, ...]
    names: tuple[str, str] = ("A", "B")
    multiplier: ComputeMultiplier | None = None
    no_multiplier: str = ""
    """Why there is none."""

    def to_frame(self) -> pd.DataFrame:
        """Every quantity of both fits by name: `a`, `b`, their intervals, `difference`, `overlap`."""
        import pandas as pd

        names = pd.Index([field.name for field in dataclasses.fields(Line)])
        return pd.DataFrame([dataclasses.asdict(line) for line in self.lines], columns=names).set_index(
            "name"
        )

    def summary(self) -> Summary:
        """Both values of each quantity, with their intervals."""
        overlap = {True: "yes", False: "no", None: "-"}
        rows = [
            (x.name, brief(x.a), interval(x.a_interval), brief(x.b), interval(x.b_interval), known)
            for x, known in ((line, overlap[line.overlap]) for line in self.lines)
        ]
        headers = ("", "A", "interval", "B", "interval", "overlap")
        title = f"Comparison: A is {self.names[0]}, B is {self.names[1]}"
        found = self.multiplier.verdict if self.multiplier else f"no compute multiplier: {self.no_multiplier}"
        return Summary(title, headers, rows, (found, *self.warnings))


def compare(
    a: RunTable | LawFit,
    b: RunTable | LawFit,
    options: FitOptions | None = None,
    names: tuple[str, str] | None = None,
) -> Comparison:
    """Parameters and exponents of two tables (fitted by `options`) or fits, the compute multiplier of `b`
    against `a`, and what is not alike in them. `names`: what the two are called; by default their sources.
    """
    options = options or FitOptions()
    first, second = (item if isinstance(item, LawFit) else fit(item, options) for item in (a, b))
    lines = [_line(name, "params", first, second) for name in first.params if name in second.params]
    lines += [_line(name, "exponents", first, second) for name in ("a", "b")]
    names = names or (_source(first), _source(second))
    comparison = Comparison(tuple(lines), first, second, _unlike(first, second), names)
    try:
        multiplier = compute_multiplier(first, second, names, options.seed)
    except UserError as error:
        return dataclasses.replace(comparison, no_multiplier=str(error))
    warnings = (*comparison.warnings, *multiplier.warnings)
    return dataclasses.replace(comparison, multiplier=multiplier, warnings=warnings)


def compare_families(table: RunTable, by: str, options: FitOptions | None = None) -> tuple[Comparison, ...]:
    """Each further value of the column `by` against the first in the table.

    Raises `UserError` for a column that the table lacks, and for one with fewer than two values.
    """
    if table.column(by) is None:
        has = listed(list(table.frame.columns))
        raise UserError(f"--by {by}: {table.source} has no such column; it has {has}")
    value_R = as_texts(table.frame, by)
    values = list(dict.fromkeys(value_R.dropna()))
    if len(values) < 2:
        raise UserError(f"--by {by}: {table.source} has one value of it, {values[0]}: nothing to compare")
    tables = [_family(table, (value_R == value).to_numpy()) for value in values]
    names = [f"{by} {value}" for value in values]
    pairs = zip(tables[1:], names[1:], strict=True)
    return tuple(compare(tables[0], other, options, (names[0], name)) for other, name in pairs)


def _family(table: RunTable, keep_R: np.ndarray) -> RunTable:
    """Some runs of a table, warned of what they mix themselves and no more."""
    return dataclasses.replace(
        table.where(keep_R), warnings=tuple(w for w in table.warnings if not w.startswith(MIXES))
    )


def _source(fitted: LawFit) -> str:
    return fitted.provenance.table.source if fitted.provenance else "a fit"


def _line(name: str, group: str, a: LawFit, b: LawFit) -> Line:
    here, there = (getattr(item, group).get(name) for item in (a, b))
    spans = [None if item.intervals is None else getattr(item.intervals, group).get(name) for item in (a, b)]
    return Line(
        name=name,
        a=here,
        b=there,
        a_interval=spans[0],
        b_interval=spans[1],
        difference=None if here is None or there is None else there - here,
        overlap=_overlap(*spans),
    )


def _overlap(a: Interval | None, b: Interval | None) -> bool | None:
    if a is None or b is None or a[0] is None or a[1] is None or b[0] is None or b[1] is None:
        return None
    return a[0] <= b[1] and b[0] <= a[1]


def _unlike(a: LawFit, b: LawFit) -> tuple[str, ...]:
    warnings = []
    if (a.approach, a.law) != (b.approach, b.law):
        warnings.append(
            f"the fits are of different kinds: approach {a.approach} {a.law}, approach {b.approach} {b.law}"
        )
    for key in ALIKE:
        here, there = (getattr(item.conventions, key) for item in (a, b))
        if here != there:
            warnings.append(f"{key} differs: {here}, {there}")
    warnings += differences(a.provenance, b.provenance)
    for name, item in (("A", a), ("B", b)):
        if not item.trusted:
            warnings.append(f"the fit of {name} is not certified or not identified in full")
        if item.misfit and item.misfit.rejected:
            warnings.append(f"the fit of {name}: {item.misfit.doubt(item.law or '')}")
    return tuple(warnings)
