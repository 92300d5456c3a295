"""The same question under every law that answers it: a fit and the published constants."""

from __future__ import annotations

from dataclasses import dataclass

from isoflop.analysis.laws import find_law
from isoflop.analysis.planning.data_limit import COLUMN
from isoflop.analysis.planning.prediction import FURTHER, times_beyond
from isoflop.analysis.planning.question import Question, answer
from isoflop.analysis.published import ANYWHERE, published_fit, published_names
from isoflop.analysis.result import LawFit
from isoflop.base.errors import UserError


@dataclass(frozen=True)
class LawAnswer:
    """What one law says. Parameters, tokens, FLOPs, and the loss on the text of its own runs."""

    name: str
    n: float | None
    d: float | None
    flops: float | None
    loss: float | None
    extrapolation: float | None
    """The budget over the nearest end of its runs' range; None where the range is not known."""
    reason: str | None = None
    """Why it has no answer."""

    @property
    def within(self) -> bool:
        """Whether the budget lies within the range of its runs, as far as that is known."""
        return self.extrapolation is not None and self.extrapolation <= FURTHER


def side_by_side(fit: LawFit, name: str, question: Question) -> tuple[LawAnswer, ...]:
    """The answer of `fit`, called `name`, and of every published law of the loss that allocates a budget.

    Their losses are of unlike texts and tokenizers, and some count N without embeddings: `isoflop laws NAME`.
    """
    others = [each for each in published_names() if each != name and _allocates(each)]
    return (_answer(name, fit, question), *(_answer(each, published_fit(each), question) for each in others))


def _allocates(name: str) -> bool:
    """Of dense models trained plainly: the others' N, or their cost, is another quantity."""
    law = find_law(name.partition(":")[0])
    plain = all(covariate.column in ("flops", COLUMN) for covariate in law.covariates)
    return law.allocates and law.family in ("compute", "data") and plain


def _answer(name: str, fit: LawFit, question: Question) -> LawAnswer:
    try:
        found = answer(fit, question)
    except UserError as error:
        return LawAnswer(name, None, None, None, None, None, str(error))
    flops = found.own("flops")
    beyond = None if fit.conventions.flops_range == ANYWHERE else times_beyond(fit, flops)
    return LawAnswer(name, found.own("n"), found.own("d"), flops, found.own("loss"), beyond)
