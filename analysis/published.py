"""Published constants as fits: they predict and allocate without a table."""

from __future__ import annotations

import numpy as np

from isoflop.analysis.compute import LawRule, PerToken, SixN
from isoflop.analysis.conventions import FitConventions
from isoflop.analysis.laws import Law, find_law, known_laws
from isoflop.analysis.laws.law import SEEN, Published
from isoflop.analysis.options import COUNTS
from isoflop.analysis.result import LawFit
from isoflop.base.errors import UserError, perhaps

NO_INTERVALS = "published constants have no intervals: their covariance is not printed with them"
ANYWHERE = (1.0, 1e40)
"""The range of budgets, FLOPs, of a set whose source names none: nothing is beyond it."""


def published_names() -> tuple[str, ...]:
    """`LAW:SET` of every set of constants, by law."""
    return tuple(law.full_name(each) for law in map(find_law, known_laws()) for each in law.published)


def find_published(name: str) -> tuple[Law, Published]:
    """The law and the set that `LAW:SET` names, or `LAW` where it has one set alone.

    Raises `UserError` for an unknown law or set, and for a law that has several sets or none.
    """
    law_name, _, set_name = name.partition(":")
    law = find_law(law_name)
    sets = {each.name: each for each in law.published}
    if not sets:
        raise UserError(f"{law.name} has no published constants: fit it, isoflop fit RUNS --law {law.name}")
    if set_name in sets:
        return law, sets[set_name]
    if not set_name and len(sets) == 1:
        return law, law.published[0]
    known = ", ".join(law.full_name(each) for each in law.published)
    what = f"{law.name} has several sets of constants"
    if set_name:
        what = f"no constants {name!r}{perhaps(set_name, sets)}"
    raise UserError(f"{what}: choose one of {known}")


def published_fit(name: str) -> LawFit:
    """A published set of constants as a fit without a table: no intervals, and its source's ranges.

    Raises `UserError` for an unknown name.
    """
    law, published = find_published(name)
    return LawFit(
        approach=3,
        law=law.name,
        params=dict(zip(law.parameters, published.params, strict=True)),
        exponents=_exponents(law, published),
        objective=None,
        intervals=None,
        certificate=None,
        identified=dict.fromkeys(published.unidentified, False),
        budgets=None,
        holdout=None,
        n_runs=0,
        excluded=(),
        conventions=_conventions(law, published),
        warnings=_doubts(law, published),
        notes=(*([f"{law.full_name(published)}: {published.note}"] if published.note else []), NO_INTERVALS),
    )


def _exponents(law: Law, published: Published) -> dict[str, float | None]:
    a, b = law.exponents(np.array(published.params)) if law.exponents else (None, None)
    return {"a": None if a is None else float(a), "b": None if b is None else float(b)}


def _conventions(law: Law, published: Published) -> FitConventions:
    cost = SixN() if law.flops_per_token is None else LawRule(law=law.name)
    return FitConventions(
        count=published.count,
        count_meaning=f"{COUNTS[published.count]}, as in the source",
        flops="6nd",
        flops_meaning="6 N D" if cost.six_n else f"training FLOPs as {law.source} counts them",
        loss=law.target if published.data is None else f"{law.target} on {published.data}",
        loss_unit=published.loss_unit if law.target == "loss" else None,
        input_loss_unit=published.input_loss_unit,
        input_loss_range=published.input_loss_range,
        data=published.data,
        flops_per_token=cost,
        flops_range=published.flops_range or _product(published, cost) or ANYWHERE,
        n_range=published.n_range,
        d_range=published.d_range,
        residual_log_sd=float("nan"),
    )


def _product(published: Published, cost: PerToken) -> tuple[float, float] | None:
    """Budgets between the smallest run and the largest that N and D allow."""
    if published.n_range is None or published.d_range is None:
        return None
    low, high = (float(x) for x in cost(np.array(published.n_range)) * np.array(published.d_range))
    return low, high


def _doubts(law: Law, published: Published) -> tuple[str, ...]:
    return (f"{law.full_name(published)}: {SEEN['memory']}",) if published.seen == "memory" else ()
