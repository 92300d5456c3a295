"""A sweep whose grid is trained, and the cells that it would train on a further budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from isoflop.base.errors import UserError
from isoflop.base.formatting import compact
from isoflop.base.json_values import content_id
from isoflop.models import ledger
from isoflop.models.family import family_widths
from isoflop.sweeps.forecasts.command_line import going_on
from isoflop.sweeps.grids.cells import PlannedCell, cell_at, with_seed
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.grids.rates import Rates
from isoflop.sweeps.plan import LEAST_SIZES
from isoflop.sweeps.progress.summary import SUMMARY, read_summary
from isoflop.sweeps.queue.store import Store
from isoflop.train.data.corpus import Corpus, prepare


@dataclass(frozen=True)
class TrainedSweep:
    """A folder's config and corpus, and the rule that its rates were tuned to."""

    folder: Path
    config: SweepConfig
    corpus: Corpus
    rates: Rates

    @classmethod
    def read(cls, folder: Path) -> TrainedSweep:
        """The sweep in a folder. Raises `UserError` for a folder without a sweep, one whose grid is not
        trained, one of several axes' values, and one on text that has changed."""
        store = Store(folder)
        config = store.config()
        if config.variants != (config,):
            raise UserError(
                f"{folder} is a sweep at several values of {config.axes[0].option}: a forecast is for one "
                "law: train a sweep at one value"
            )
        if not (folder / SUMMARY).exists() or read_summary(store).config != content_id(config):
            raise UserError(f"the grid of {folder} is not finished: go on with {going_on(folder)}")
        corpus = prepare(config.data, config.tokenizer)
        store.refuse_corpus(corpus.spec)
        return cls(folder, config, corpus, read_summary(store).learning_rate.tuned.rates)

    def widths_around(self, n_opt: float, count: str, flops: float) -> tuple[int, ...]:
        """As many widths as the config's `sizes`, around the one nearest to `n_opt` parameters (of that
        `count`), from the ladder; above its top, in the family's own steps. Widths that a budget of `flops`
        FLOPs would train for more tokens than the corpus gives are passed over.

        Raises `UserError` where none below `n_opt` is left: the runs would bracket no minimum.
        """
        sizes = max(self.config.sizes, LEAST_SIZES)
        best = self.nearest_width(n_opt, count)
        widths = [w for w in self._widths_to(n_opt, count, sizes) if flops <= self._most_flops(w)]
        below = sum(width < best for width in widths)
        if not below and flops > self._most_flops(self.config.ladder[0]):
            raise UserError(
                f"{compact(flops)} FLOPs: the forecast's N_opt is about width {best}, and a smaller one "
                f"wants more tokens than a cell of {self.folder} may take of {self.config.data} "
                f"({self._most_tokens:,.0f}): lower --flops, or train a sweep on a larger corpus"
            )
        first = max(below - sizes // 2, 0)
        return tuple(widths[first : first + sizes])

    def nearest_width(self, n_opt: float, count: str) -> int:
        """The width, of the same, whose parameters are nearest to `n_opt` by ratio."""
        widths = self._widths_to(n_opt, count, 1)
        return min(widths, key=lambda width: abs(math.log(self._params(width, count) / n_opt)))

    def _widths_to(self, n_opt: float, count: str, beyond: int) -> list[int]:
        """The widths up to so many `beyond` `n_opt`."""
        top = self.config.ladder[-1]
        widths = []
        for width in (*self.config.ladder, *(width for width in family_widths() if width > top)):
            widths.append(width)
            beyond -= self._params(width, count) > n_opt
            if not beyond:
                break
        return widths

    @property
    def _most_tokens(self) -> float:
        return self.config.most_tokens(self.corpus)

    def _most_flops(self, width: int) -> float:
        return self._most_tokens * ledger(self.config.model_at(width, self.corpus)).train_flops

    def _params(self, width: int, count: str) -> int:
        return ledger(self.config.model_at(width, self.corpus)).params(count)

    def cells(self, flops: float, widths: Sequence[int]) -> list[PlannedCell]:
        """Each width on a budget of `flops` FLOPs, at the tuned rates, under every seed of the config's.

        Raises `UserError` for a width that the family has not, and for more tokens than the corpus gives.
        """
        config = self.config
        cells = [
            with_seed(cell_at(config, self.corpus, width, flops, self.rates), config.seed + k)
            for width in widths
            for k in range(config.seeds)
        ]
        longest = max(cells, key=lambda planned: planned.cell.tokens).cell
        if longest.tokens > self._most_tokens:
            raise UserError(
                f"{compact(flops)} FLOPs: width {longest.recipe.model.width} wants {longest.tokens:,} "
                f"tokens, and a cell of {self.folder} may take {self._most_tokens:,.0f} of {config.data}: "
                "lower --flops, or train a sweep on a larger corpus"
            )
        return cells
