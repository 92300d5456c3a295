"""What approach 3 fits: a law with its constraints, over one table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from isoflop.analysis.compute import PerToken, per_token
from isoflop.analysis.constraints import FitGroup, group_name, parse_names, parse_ties, parse_values
from isoflop.analysis.laws import Law, find_law
from isoflop.analysis.laws.constrained import Map, constrain
from isoflop.analysis.laws.grouped import grouped, name_in
from isoflop.analysis.options import FitOptions
from isoflop.analysis.run_table import RunTable
from isoflop.base.errors import UserError


@dataclass(frozen=True)
class FittedLaw:
    """The law of the free parameters, F of them, and how the others follow."""

    base: Law
    """The law asked for."""
    whole: Law
    """The same, for all groups where parameters are shared: the law of the P parameters that are reported."""
    law: Law
    """What is fitted."""
    map: Map
    groups: tuple[FitGroup, ...]
    """Empty without shared parameters."""

    @property
    def fixed(self) -> dict[str, float]:
        """The fixed parameters' values."""
        values = zip(self.whole.parameters, self.map.value_P, strict=True)
        return {name: value for name, value in values if value is not None}

    @property
    def tied(self) -> dict[str, str]:
        """The parameter that each tied one is equal to."""
        leaders = zip(self.whole.parameters, self.map.source_P, self.map.value_P, strict=True)
        named = {name: self.law.parameters[f] for name, f, value in leaders if value is None}
        return {name: leader for name, leader in named.items() if name != leader}

    def of_group(self, full_BxP: np.ndarray, group: str) -> np.ndarray:
        """Parameters of the base law in one group, from those of the whole."""
        at = [self._position(name, group) for name in self.base.parameters]
        return full_BxP[:, at]

    def _position(self, name: str, group: str) -> int:
        names = self.whole.parameters
        return names.index(name if name in names else name_in(name, group))

    def surfaces(self, cost: PerToken, budgets_K: np.ndarray) -> tuple[Surface, ...]:
        """The surface L(N, D) of each group; one of the whole table, with this cost, without groups."""
        if not self.groups:
            return (Surface("", self, None, cost, budgets_K),)
        return tuple(
            Surface(f"[{each.name}]", self, each.name, each.flops_per_token, np.array(each.flops_range))
            for each in self.groups
        )


@dataclass(frozen=True)
class Surface:
    """One L(N, D) that a fit holds: a group's, or the only one."""

    suffix: str
    """What the names of its exponents end in."""
    fitted: FittedLaw
    group: str | None
    cost: PerToken
    budgets_K: np.ndarray
    """FLOPs, ascending: where slopes of its allocation are taken."""

    @property
    def law(self) -> Law:
        """The law of `params`."""
        return self.fitted.whole if self.group is None else self.fitted.base

    def params(self, full_BxP: np.ndarray) -> np.ndarray:
        """This surface's parameters, a row for each of the fit's full vectors."""
        return full_BxP if self.group is None else self.fitted.of_group(full_BxP, self.group)


def fitted_law(table: RunTable, options: FitOptions) -> FittedLaw:
    """The law that the options ask for on this table.

    Raises `UserError` for constraints that the law cannot have, a column of groups that the table lacks, and
    a group with too few runs.
    """
    base, shared = find_law(options.law), parse_names(options.share)
    members = _members(table, options.by) if options.by else {}
    whole = grouped(base, options.by, tuple(members), shared) if options.by else base
    groups = tuple(_group(table, base, shared, name, rows) for name, rows in members.items())
    fixed, tied = parse_values(options.fix), parse_ties(options.tie)
    if groups:
        fixed, tied = _in_groups(whole, tuple(members), fixed, tied)
    found = constrain(whole, fixed, tied)
    return FittedLaw(base, whole, found.law, found.map, groups)


def one_law(table: RunTable, options: FitOptions, what: str) -> FittedLaw:
    """The same for `what` needs one law for all runs. Raises `UserError` for shared parameters."""
    options.refuse_share(what)
    return fitted_law(table, options)


def _in_groups(whole: Law, groups, fixed, tied):
    """Constraints on a group's own parameter, named without its group, are constraints in every group."""

    def everywhere(names: tuple[str, ...]) -> list[tuple[str, ...]]:
        plain = [tuple(n if n in whole.parameters else name_in(n, g) for n in names) for g in groups]
        known = all(n in whole.parameters for found in plain for n in found)
        return list(dict.fromkeys(plain)) if known else [names]

    fixed = tuple((name, value) for given, value in fixed for (name,) in everywhere((given,)))
    return fixed, tuple(pair for given in tied for pair in everywhere(given))


def _members(table: RunTable, by: str) -> dict[str, np.ndarray]:
    """The rows of each group, by name, sorted."""
    values = table.column(by)
    if values is None:
        columns = ", ".join(map(str, table.frame.columns))
        raise UserError(f"--by {by}: {table.source} has no such column; it has {columns}")
    if missing := int(pd.isna(values).sum()):
        raise UserError(f"--by {by}: {missing} of {len(table)} runs have none; leave them out with --where")
    names_R = np.array([group_name(value) for value in values])
    found = {str(name): np.flatnonzero(names_R == name) for name in np.unique(names_R)}
    if len(found) < 2:
        raise UserError(f"--by {by}: all runs are of one group, {next(iter(found))}: leave out --share")
    return found


def _group(table: RunTable, base: Law, shared: tuple[str, ...], name: str, rows: np.ndarray) -> FitGroup:
    own = [each for each in base.parameters if each not in shared]
    cells = len(np.unique(np.stack([table.N_R[rows], table.D_R[rows]]), axis=1).T)
    if cells <= len(own):
        raise UserError(
            f"group {name} has {cells} distinct (N, D) for {len(own)} parameters of its own "
            f"({', '.join(own)}): add runs, share more, or leave it out with --where"
        )
    C, N, D = ((float(x[rows].min()), float(x[rows].max())) for x in (table.C_R, table.N_R, table.D_R))
    marked = np.isin(np.arange(len(table)), rows)
    return FitGroup(name, len(rows), C, N, D, per_token(table.where(marked)))
