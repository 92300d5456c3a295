"""The order of the windows: a function of seed and position, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop.train.data.corpus import Corpus, prepare
from isoflop.train.data.order import passes, repeated

seeds = st.integers(0, 2**64 - 1)
corpora = st.integers(1, 60)
lengths = st.integers(0, 500)


@given(seeds, lengths, lengths, lengths, corpora)
def test_any_split_gives_the_same_windows(seed: int, a: int, b: int, c: int, windows: int) -> None:
    start, middle, stop = sorted((a, b, c))
    whole = passes(seed, start, stop, windows)
    assert whole.shape == (stop - start,)
    parts = [passes(seed, start, middle, windows), passes(seed, middle, stop, windows)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@given(seeds, corpora, st.integers(1, 3))
def test_each_pass_holds_every_window_once(seed: int, windows: int, count: int) -> None:
    drawn = passes(seed, 0, windows * count, windows)
    for epoch in drawn.reshape(count, windows):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(windows))


@given(seeds, lengths, lengths, lengths, corpora)
def test_any_split_repeats_the_same_draws(seed: int, a: int, b: int, c: int, unique: int) -> None:
    start, middle, stop = sorted((a, b, c))
    whole = repeated(seed, start, stop, unique)
    assert whole.shape == (stop - start,)
    parts = [repeated(seed, start, middle, unique), repeated(seed, middle, stop, unique)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@given(seeds, corpora, st.integers(1, 3))
def test_the_first_pass_is_as_drawn_and_each_later_one_holds_every_draw_once(
    seed: int, unique: int, count: int
) -> None:
    first, *later = repeated(seed, 0, unique * count, unique).reshape(count, unique)
    np.testing.assert_array_equal(first, np.arange(unique))
    for epoch in later:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(unique))


@pytest.mark.parametrize("source", ["{text}", "synthetic:zipf", "mix:{text}=0.5+synthetic:zipf=0.5"])
def test_a_part_of_a_corpus_is_repeated(source: str, source_name: str) -> None:
    corpus = prepare(source.format(text=source_name), "bytes")
    drawn = corpus.order(5, 0, 10, batch_size=4, context=32, unique_windows=12)
    fresh = corpus.order(5, 0, 3, batch_size=4, context=32)
    np.testing.assert_array_equal(drawn[:3], fresh)
    assert set(drawn.ravel().tolist()) == set(fresh.ravel().tolist())
    assert len({tuple(window) for window in drawn[3:9].reshape(2, 12).tolist()}) == 2


def test_seeds_and_passes_differ() -> None:
    orders = {
        tuple(passes(seed, epoch * 100, (epoch + 1) * 100, 100)) for seed in range(3) for epoch in range(3)
    }
    assert len(orders) == 9


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_a_step_takes_the_next_windows(corpus: Corpus, batch_size: int) -> None:
    n = corpus.n_windows("train", 32)
    order = corpus.order(5, 7, 9, batch_size=batch_size, context=32)
    np.testing.assert_array_equal(order, passes(5, 7 * batch_size, 9 * batch_size, n).reshape(2, batch_size))


def test_the_order_never_changes() -> None:
    """Stored results hang on it: if this fails, raise RESULTS_VERSION, or find out why the order moved."""
    np.testing.assert_array_equal(passes(3, 8, 16, 10), [3, 0, 9, 7, 8, 3, 5, 6])
