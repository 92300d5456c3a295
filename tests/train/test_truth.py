"""Training towards losses that are known: the entropies of synthetic sources."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from isoflop.train.data.corpus import Corpus, prepare
from isoflop.train.loop import evaluate, run_segment
from isoflop.train.spec import AdamW, CellSpec, Schedule, Segment
from tests.support.small import small_model, small_recipe

pytestmark = pytest.mark.slow

CONTEXT = 32


def final_loss(source: str, steps: int, width: int = 16, rate: float = 0.01) -> tuple[Corpus, float]:
    """The corpus, and the held-out loss of a small model after some steps of 16 windows."""
    corpus = prepare(source, "bytes")
    model = small_model(width, vocab_size=corpus.vocab_size)
    optimizer, schedule = (
        AdamW(peak_lr=rate, weight_decay=0.0),
        Schedule("wsd", warmup_steps=20, decay_fraction=0.4),
    )
    recipe = replace(small_recipe(corpus, model=model), batch_size=16, optimizer=optimizer, schedule=schedule)
    trained = run_segment(Segment(recipe, 0, steps, steps, None), corpus, None)
    cell = CellSpec(recipe, steps, "heldout", 1024)
    return corpus, float(evaluate(cell, trained.state, corpus).losses.mean())


def unigram_entropy(corpus: Corpus) -> float:
    """Entropy of the ids' frequencies in 4,096 held-out windows, nats."""
    counts = np.bincount(corpus.evaluation_windows("heldout", CONTEXT, 4096).ravel())
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


def test_independent_ids_are_learned_to_their_entropy_and_no_further() -> None:
    corpus, loss = final_loss("synthetic:zipf,vocab=64", 400)
    floor = corpus.floor(CONTEXT)
    assert floor is not None
    assert floor - 0.02 < loss < floor + 0.03


def test_a_chain_is_learned_to_its_entropy_far_below_its_frequencies() -> None:
    corpus, loss = final_loss("synthetic:markov,order=1,vocab=32,branch=4", 800, width=32)
    floor = corpus.floor(CONTEXT)
    assert floor is not None
    assert floor - 0.02 < loss < floor + 0.06
    assert loss < unigram_entropy(corpus) - 0.5


def test_what_was_seen_in_the_window_is_copied() -> None:
    corpus, loss = final_loss("synthetic:copy,vocab=64,length=15", 1500, width=32, rate=0.005)
    floor = corpus.floor(CONTEXT)
    assert floor is not None
    assert floor - 0.02 < loss < floor + 0.2
    assert loss < unigram_entropy(corpus) - 1.5
