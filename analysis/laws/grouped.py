"""One law over several groups of runs: some of its parameters common to all, the others each group's own."""

from __future__ import annotations

import dataclasses
import functools
from typing import NoReturn

import numpy as np

from isoflop.analysis.laws.constrained import constrain
from isoflop.analysis.laws.law import FREE, Array, Covariate, Law, array_namespace
from isoflop.base.errors import UserError


def name_in(parameter: str, group: str) -> str:
    """What a group's own parameter is called."""
    return f"{parameter}[{group}]"


@functools.cache
def grouped(law: Law, by: str, groups: tuple[str, ...], shared: tuple[str, ...]) -> Law:
    """The joint law of `groups`, told apart by the column `by`, with the parameters `shared` in common.

    A shared parameter keeps its name, a group's own is `E[c4]`, say. The group's number, from 1, is the last
    covariate.
    """
    for name in shared:
        if name not in law.parameters:
            known = ", ".join(law.parameters)
            raise UserError(f"--share {name}: {law.name} has no such parameter; it has {known}")
    first, *others = groups
    ties = tuple((name_in(name, first), name_in(name, other)) for name in shared for other in others)
    joint = constrain(_copies(law, by, groups), (), ties).law
    common = {name_in(name, first): name for name in shared}
    return dataclasses.replace(
        joint,
        name=law.name,
        parameters=tuple(common.get(name, name) for name in joint.parameters),
        equation=f"{law.equation}, {', '.join(shared)} common to {len(groups)} groups by {by}",
    )


def _copies(law: Law, by: str, groups: tuple[str, ...]) -> Law:
    """The law with a set of parameters for each of G groups, nothing in common."""
    G, P = len(groups), len(law.parameters)

    def predict(params: Array, N: Array, D: Array, *covariates: Array) -> Array:
        # Each run's own column of parameters: a law takes them as it takes N and D, broadcast.
        *own, number = covariates
        params_PxG = array_namespace(params).reshape(params, (G, P)).T
        return law.predict(params_PxG[:, number.astype(int) - 1], N, D, *own)

    def each(function, x: Array, *centre: Array) -> Array:
        return array_namespace(x).concatenate([function(x[g * P : (g + 1) * P], *centre) for g in range(G)])

    def mirror(params: Array, c: float, k: float) -> Array:
        parts = np.asarray(params).reshape(G, P)
        return np.concatenate([np.asarray(law.mirror(part, c, k)) for part in parts]) if law.mirror else parts

    number = Covariate(
        "group", by, "which group a run is of", functools.partial(_no_group, groups), groups=groups
    )
    return dataclasses.replace(
        law,
        parameters=tuple(name_in(name, group) for group in groups for name in law.parameters),
        predict=predict,
        encode=functools.partial(each, law.encode),
        decode=functools.partial(each, law.decode),
        start_box=law.start_box * G,
        from_box=None if law.from_box is None else functools.partial(each, law.from_box),
        bounds=(law.bounds or (FREE,) * P) * G,
        linear=tuple(g * P + p for g in range(G) for p in law.linear),
        covariates=(*law.covariates, number),
        exponents=None,
        allocate=None,
        mirror=None if law.mirror is None else mirror,
        contains=None,
    )


def _no_group(groups: tuple[str, ...], *_: Array) -> NoReturn:
    raise UserError(f"the fit has a law for each group: choose one of {', '.join(groups)} with --group")
