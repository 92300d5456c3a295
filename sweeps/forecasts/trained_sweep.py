"""A sweep whose grid is trained, and the cells that it would train on a further budget."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from isoflop.base.errors import UserError
from isoflop.base.formatting import compact
from isoflop.base.json_values import content_id
from isoflop.base.provenance import LOG
from isoflop.models import ledger
from isoflop.models.family import family_widths
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
        if len(config.variants) > 1:
            raise UserError(
                f"{folder} is a sweep at several values of {config.axes[0].option}: a forecast is for one "
                "law: train a sweep at one value"
            )
        if not (folder / SUMMARY).exists() or read_summary(store).config != content_id(config):
            raise UserError(f"the grid of {folder} is not finished: go on with {going_on(folder)}")
        corpus = prepare(config.data, config.tokenizer)
        store.refuse_corpus(corpus.spec)
        return cls(folder, config, corpus, read_summary(store).learning_rate.tuned.rates)

    def widths_around(self, n_opt: float, count: str) -> tuple[int, ...]:
        """As many widths as the config's `sizes`, around the one whose parameters are nearest to `n_opt`, by
        ratio. From the ladder; above its top, in the family's own steps."""
        sizes = max(self.config.sizes, LEAST_SIZES)
        widths: list[int] = []
        beyond = 0
        for width in self._widths():
            widths.append(width)
            beyond += self._params(width, count) > n_opt
            if beyond > sizes:
                break
        nearest = min(range(len(widths)), key=lambda i: abs(math.log(self._params(widths[i], count) / n_opt)))
        first = max(nearest - sizes // 2, 0)
        return tuple(widths[first : first + sizes])

    def _widths(self) -> Iterator[int]:
        yield from self.config.ladder
        yield from (width for width in family_widths() if width > self.config.ladder[-1])

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
        limit = self.corpus.n_tokens("train") * config.max_epochs
        longest = max(cells, key=lambda planned: planned.cell.tokens).cell
        if longest.tokens > limit:
            raise UserError(
                f"{compact(flops)} FLOPs: width {longest.recipe.model.width} wants {longest.tokens:,} "
                f"tokens, and a cell of {self.folder} may take {limit:,.0f} of {config.data}: lower --flops, "
                "or train a sweep on a larger corpus"
            )
        return cells


def going_on(folder: Path) -> str:
    """The command that goes on with a folder's sweep: the last one that its log has."""
    try:
        *_, last = (folder / LOG).read_text(encoding="utf-8").splitlines()
        command = json.loads(last)["command"]
    except (OSError, ValueError, KeyError, TypeError):
        command = []
    if len(command) > 1 and command[1] in ("sweep", "demo"):
        return shlex.join(["isoflop", *command[1:]])
    return f"isoflop sweep CONFIG --out {shlex.quote(str(folder))}"
