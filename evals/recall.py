"""Loss and accuracy of answers by how frequent their fact is: what a model knows by heart.

For models of `synthetic:facts`. Every fact is asked once, in an order drawn once, packed into windows as in
training; so the means are over all facts there are, and no sample of them. A class is the ranks from 2^k to
2^(k+1) - 1; the row of `ranks` "all" has the loss and accuracy of answers as they come in training, each fact
weighted by its frequency. The least loss of an answer is zero.

`rank_known`: the rank up to which facts are known, of all ranks the one that is wrong about the fewest facts.

`bits` is what a model holds of the answers, by its losses: over a class, the number of facts times log2
(answers) less the mean loss in bits, and nothing where that is negative; over all facts, the classes' sum.
Allen-Zhu and Li (2024, Physics of Language Models: Part 3.3) count the knowledge in a model so, theirs with
what the names take.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.base.errors import UserError
from isoflop.base.fields import Count, check_fields
from isoflop.evals.measurement import Row
from isoflop.evals.trained_model import TrainedModel
from isoflop.train.data.processes import open_process
from isoflop.train.data.processes.facts import FACT_LENGTH, Process
from isoflop.train.data.random_bits import threefry
from isoflop.train.data.synthetic_corpus import SyntheticCorpus

ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Recall of facts by their frequency."""

    windows: Count = 65_536
    """Windows at most; fewer than all facts take leave out facts of every rank."""

    def __post_init__(self) -> None:
        check_fields(self)


def refuse(model: TrainedModel, options: Options) -> None:
    """Raises `UserError` for a model that was trained on anything but facts."""
    _facts_of(model)
    if model.recipe.model.context_length < FACT_LENGTH - 1:
        raise UserError(f"recall asks whole facts: a context of {FACT_LENGTH - 1} tokens holds one")


def measure(model: TrainedModel, options: Options) -> list[Row]:
    """A row for all facts, and one for each class of ranks that was asked."""
    corpus, process = _facts_of(model)
    tables = process.tables()
    context = model.recipe.model.context_length
    fact_WxF = _asked(process, context)[: options.windows]
    windows = np.asarray(process.spell(tables, fact_WxF))[:, : context + 1].astype(corpus.dtype)
    scores = model.scores(windows)
    # Targets begin with a window's second id: the first answer is target FACT_LENGTH - 2.
    loss_WxF, correct_WxF = (x[:, FACT_LENGTH - 2 :: FACT_LENGTH].astype(np.float64) for x in scores)
    answered = loss_WxF.shape[1]
    # A fact asked again, to fill the last window, counts once.
    rank, first = np.unique(fact_WxF[:, :answered].ravel(), return_index=True)
    loss, correct = loss_WxF.ravel()[first], correct_WxF.ravel()[first]
    frequency = process.frequencies(tables)[rank]
    answers_trained_on = (
        model.cell.tokens / context * answered
    )  # answers among the targets that it was trained on
    most = math.log2(process.answers)

    def row(name: str, inside: NDArray[np.bool_], weight: NDArray[np.float64]) -> Row:
        share = weight[inside] / weight[inside].sum()
        known = int(np.argmax(np.cumsum([0.0, *(correct[inside] - 0.5)])))  # facts from the first on
        return {
            "ranks": name,
            "rank_low": int(rank[inside][0]) + 1,
            "rank_high": int(rank[inside][-1]) + 1,
            "facts": int(inside.sum()),
            "frequency": float(frequency[inside].mean()),
            "seen": float(frequency[inside].mean() * answers_trained_on),
            "loss": float(share @ loss[inside]),
            "accuracy": float(share @ correct[inside]),
            "rank_known": int([rank[inside][0], *(rank[inside] + 1)][known]),
            "bits": max(0.0, float(inside.sum()) * most - float(loss[inside].sum()) / math.log(2)),
        }

    classes = np.log2(rank + 1).astype(int)
    rows = []
    for each in np.unique(classes):
        low, high = 1 << each, min(2 << each, process.facts + 1) - 1
        name = f"{low}" if low == high else f"{low}-{high}"
        rows.append(row(name, classes == each, np.ones(len(rank))))
    return [row(ALL, classes >= 0, frequency) | {"bits": sum(float(r["bits"]) for r in rows)}, *rows]


def _facts_of(model: TrainedModel) -> tuple[SyntheticCorpus, Process]:
    corpus = model.corpus
    process = open_process(corpus.argument) if isinstance(corpus, SyntheticCorpus) else None
    if not isinstance(corpus, SyntheticCorpus) or not isinstance(process, Process):
        raise UserError(
            f"recall asks for facts, and these models were trained on {model.recipe.data.source}: train "
            "some on --data synthetic:facts"
        )
    return corpus, process


def _asked(process: Process, context: int) -> NDArray[np.uint32]:
    """Ranks from 0, (W, F), of the facts of each window.

    The last of them may be cut off before its answer: then it comes again, first in the next window.
    """
    whole = (context + 1) // FACT_LENGTH
    number = np.arange(process.facts, dtype=np.uint32)
    order = number[np.argsort(threefry(np.uint32(0), np.uint32(0), number, np.uint32(0))[0], kind="stable")]
    begins = np.arange(0, process.facts, whole)[:, None]
    return order[(begins + np.arange(-(-(context + 1) // FACT_LENGTH))) % process.facts]
