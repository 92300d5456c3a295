"""One unit of training, as every process sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

from isoflop.sweeps.queue.store import Store
from isoflop.train.spec import CellSpec, Recipe, Segment


@dataclass(frozen=True)
class Task:
    """A segment to train, and what to do at its end.

    `path`: ids of all segments from the start to this one. `cell`: evaluated at the end, if any.
    `save`: whether to write a checkpoint. `corpus`: the prepared corpus' folder; `eval_corpora`: of each
    source of the cell's `eval_data`.
    """

    segment: Segment
    path: tuple[str, ...]
    cell: CellSpec | None
    save: bool
    corpus: str
    eval_corpora: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What claims call it."""
        return self.segment.segment_id

    @property
    def recipe(self) -> Recipe:
        """What is trained."""
        return self.segment.recipe

    def is_done(self, store: Store) -> bool:
        """Whether its records are in the folder."""
        if store.diverged(self.name).exists():
            return True
        if self.cell:
            return store.cell(self.cell.cell_id).exists()
        return store.segment(self.name).exists() and (not self.save or store.checkpoint(self.name).exists())
