"""One unit of work, as every process sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

from isoflop.train.spec import CellSpec, Segment


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
