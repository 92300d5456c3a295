"""Published constants of curve laws as fits: they predict without a curve."""

from __future__ import annotations

from isoflop.analysis.curves.laws import find_curve_law
from isoflop.analysis.curves.result import CurveFit
from isoflop.base.errors import UserError, perhaps


def published_curve_fit(name: str) -> CurveFit:
    """The constants that `LAW:SET` names, as a fit without intervals.

    Raises `UserError` for an unknown law or set, and for a law that has none.
    """
    law_name, _, set_name = name.partition(":")
    law = find_curve_law(law_name)
    sets = {each.name: each for each in law.published}
    if not sets:
        raise UserError(
            f"{law.name} has no published constants: fit it, isoflop fit --curves PATHS --law {law.name}"
        )
    if set_name not in sets:
        known = ", ".join(f"{law.name}:{each}" for each in sets)
        wrong = f"no constants {name!r}{perhaps(set_name, sets)}: " if set_name else ""
        raise UserError(f"{wrong}choose one of {known}")
    found = sets[set_name]
    return CurveFit(
        law=law.name,
        params=dict(zip(law.parameters, found.params, strict=True)),
        objective=None,
        certificate=None,
        identified={},
        intervals=None,
        curves=(),
        holdout=(),
        n_rows=0,
        fitted=found.fitted,
        notes=(f"{name}: {found.note}",) if found.note else (),
    )
