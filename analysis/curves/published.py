"""Published constants of curve laws as fits: they predict without a curve."""

from __future__ import annotations

from isoflop.analysis.curves.laws import find_curve_law
from isoflop.analysis.curves.result import CurveFit
from isoflop.base.errors import UserError


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
        raise UserError(f"choose one of {', '.join(f'{law.name}:{each}' for each in sets)}")
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
        warnings=(f"{name}: {found.note}",) if found.note else (),
    )
