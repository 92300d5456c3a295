"""Every cell that a config's ladder and budgets allow, by what can share a trunk, and its price."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.analysis.compute import per_token_of
from isoflop.analysis.design.space import Space
from isoflop.base.errors import UserError
from isoflop.sweeps.grids.cells import PlannedCell, cell_at, with_seed
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.grids.rates import Rates
from isoflop.sweeps.grids.segments import Cuts
from isoflop.train.data.corpus import Corpus
from isoflop.train.spec import Recipe


@dataclass(frozen=True)
class Ladder:
    """The cells of every width and budget under the config's first seed, and the families they form."""

    config: SweepConfig
    space: Space
    cells: dict[tuple[int, int], PlannedCell]
    """By family and position of the budget."""
    place: dict[tuple[int, float], tuple[int, int]]
    """(width, budget in FLOPs) -> family and position of the budget."""

    def cell(self, family: int, budget: int, seed: int) -> PlannedCell:
        """The cell under a seed."""
        return with_seed(self.cells[family, budget], seed)


def build_ladder(config: SweepConfig, corpus: Corpus, rates: Rates) -> Ladder:
    """The ladder of a config at tuned rates.

    Widths with more tokens than the corpus may give, or under one step, are not possible on that budget.
    Cells of one width and span of tokens share a recipe, and with it a trunk. Without shared trunks every
    cell is a family.
    """
    limit = config.most_tokens(corpus)
    families: dict[tuple[Recipe, float | None], int] = {}
    cells: dict[tuple[int, int], PlannedCell] = {}
    for width in config.ladder:
        for b, budget in enumerate(config.budgets):
            try:
                planned = cell_at(config, corpus, width, budget, rates)
            except UserError:  # under one step
                continue
            if planned.cell.tokens <= limit:
                key = (planned.cell.recipe, None if config.schedule.name == "wsd" else budget)
                cells[families.setdefault(key, len(families)), b] = planned
    place = {(p.cell.recipe.model.width, p.budget): at for at, p in cells.items()}
    return Ladder(config, _space(config, cells, len(families)), cells, place)


def _space(config: SweepConfig, cells: dict[tuple[int, int], PlannedCell], families: int) -> Space:
    shape = (families, len(config.budgets))
    N_F = np.ones(families)
    D_FxB, trunk_FxB, branch_FxB = np.ones(shape), np.zeros(shape), np.zeros(shape)
    possible_FxB = np.zeros(shape, dtype=bool)
    token_flops_F = np.ones(families)
    for (f, b), planned in cells.items():
        cell = planned.cell
        step_flops = cell.flops / cell.steps
        branch_at = cell.recipe.schedule.decay_start(cell.steps)
        N_F[f], D_FxB[f, b] = cell.recipe.ledger.params(), cell.tokens
        token_flops_F[f] = cell.recipe.ledger.train_flops
        trunk_FxB[f, b] = branch_at * step_flops
        branch_FxB[f, b] = (cell.steps - branch_at) * step_flops
        possible_FxB[f, b] = True
    cost = per_token_of(N_F, token_flops_F)
    return Space(N_F, np.array(config.budgets), D_FxB, trunk_FxB, branch_FxB, possible_FxB, cost)


def trunk_cuts(config: SweepConfig) -> Cuts:
    """Where a trunk is cut so that any of the config's budgets in its span can branch off later: see
    `build_tree`."""

    def cuts(recipe: Recipe) -> list[int]:
        token_flops = recipe.ledger.train_flops
        tokens = [
            budget / token_flops
            for budget in config.budgets
            if _batch_and_warmup(config, budget / token_flops)
            == (recipe.batch_size, recipe.schedule.warmup_steps)
        ]
        steps = [round(n / recipe.batch_tokens) for n in tokens]
        return [at for n in steps if n and (at := recipe.schedule.decay_start(n)) > 0]

    return cuts


def _batch_and_warmup(config: SweepConfig, tokens: float) -> tuple[int, int]:
    """Of the trunk that a run of so many tokens branches off."""
    horizon = config.horizon(tokens)
    return config.batch_at(horizon), config.warmup_at(horizon)
