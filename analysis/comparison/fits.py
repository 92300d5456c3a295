"""Two fits side by side."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isoflop.analysis.approaches.fit import fit
from isoflop.analysis.options import FitOptions
from isoflop.analysis.provenance import differences
from isoflop.analysis.result import Interval, LawFit
from isoflop.analysis.run_table import RunTable
from isoflop.base.display import Displayed, Summary
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
        sources = [fit.provenance.table.source if fit.provenance else "a fit" for fit in (self.a, self.b)]
        headers = ("", "first", "interval", "second", "interval", "overlap")
        title = f"Comparison: first is {sources[0]}, second is {sources[1]}"
        return Summary(title, headers, rows, self.warnings)


def compare(a: RunTable | LawFit, b: RunTable | LawFit, options: FitOptions | None = None) -> Comparison:
    """Parameters and exponents of two tables (fitted by `options`) or fits, with what is not alike in
    them.
    """
    first, second = (item if isinstance(item, LawFit) else fit(item, options) for item in (a, b))
    lines = [_line(name, "params", first, second) for name in first.params if name in second.params]
    lines += [_line(name, "exponents", first, second) for name in ("a", "b")]
    return Comparison(tuple(lines), first, second, _unlike(first, second))


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
    for name, item in (("first", a), ("second", b)):
        if not item.trusted:
            warnings.append(f"the {name} fit is not certified or not identified in full")
        if item.misfit and item.misfit.rejected:
            warnings.append(f"the {name} fit: {item.misfit.doubt(item.law or '')}")
    return tuple(warnings)
