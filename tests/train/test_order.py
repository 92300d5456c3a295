"""The order of the windows: a function of seed and step, and nothing else."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from train.order import batch_windows

seeds = st.integers(0, 2**40)
batches = st.integers(1, 7)
corpora = st.integers(1, 60)
lengths = st.integers(0, 80)


@given(seeds, lengths, lengths, lengths, batches, corpora)
def test_any_split_gives_the_same_windows(
    seed: int, a: int, b: int, c: int, batch: int, windows: int
) -> None:
    start, middle, stop = sorted((a, b, c))
    parts = [
        batch_windows(seed, x, y, batch_size=batch, n_windows=windows)
        for x, y in ((start, middle), (middle, stop))
    ]
    whole = batch_windows(seed, start, stop, batch_size=batch, n_windows=windows)
    assert whole.shape == (stop - start, batch)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@given(seeds, batches, corpora, st.integers(1, 3))
def test_each_pass_holds_every_window_once(seed: int, batch: int, windows: int, passes: int) -> None:
    steps = -(-windows * passes // batch)
    drawn = batch_windows(seed, 0, steps, batch_size=batch, n_windows=windows).ravel()
    for epoch in range(passes):
        np.testing.assert_array_equal(
            np.sort(drawn[epoch * windows : (epoch + 1) * windows]), np.arange(windows)
        )


def test_seeds_and_passes_differ() -> None:
    orders = {
        tuple(batch_windows(seed, epoch * 100, (epoch + 1) * 100, batch_size=1, n_windows=100).ravel())
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_the_order_never_changes() -> None:
    """Stored results hang on it: if this fails, raise RESULTS_VERSION, or find out why the order moved."""
    drawn = batch_windows(3, 2, 4, batch_size=4, n_windows=10)
    np.testing.assert_array_equal(drawn, GOLDEN)


GOLDEN = np.array([[3, 0, 9, 7], [8, 3, 5, 6]])
