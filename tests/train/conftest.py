"""One trained recipe that the tests of the trainer share."""

from __future__ import annotations

import pytest

from isoflop.train.data.corpus import Corpus
from isoflop.train.loop import Trained, run_segment
from isoflop.train.spec import Recipe, Segment
from tests.support.small import small_recipe

STEPS = 40


@pytest.fixture(scope="session")
def recipe(corpus: Corpus) -> Recipe:
    """The recipe of width 8 on the small corpus."""
    return small_recipe(corpus)


@pytest.fixture(scope="session")
def whole(recipe: Recipe) -> Segment:
    """All of a run of 40 steps."""
    return Segment(recipe, 0, STEPS, STEPS, None)


@pytest.fixture(scope="session")
def unsplit(whole: Segment, corpus: Corpus) -> Trained:
    """That run, trained in one go."""
    return run_segment(whole, corpus, None)
