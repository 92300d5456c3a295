"""Chunks: the same windows whether resident, read ahead or made on the device, from any step on."""

from __future__ import annotations

import gc
import itertools
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isoflop.train.data import batches
from isoflop.train.data.batches import CHUNK, chunks, is_resident
from isoflop.train.data.corpus import Corpus, prepare
from isoflop.train.data.read_ahead import AHEAD, read_ahead
from isoflop.train.spec import Recipe
from tests.support.examples import examples
from tests.support.small import small_recipe

CONTEXT, BATCH = 32, 4
KINDS = ("text", "mix", "synthetic")


@pytest.fixture(scope="session")
def corpora(corpus: Corpus, source_name: str) -> dict[str, Corpus]:
    """One of each kind."""
    process = "synthetic:markov,order=1,vocab=20,branch=4"
    mixed = prepare(f"mix:{source_name}=0.8+{process}=0.2", "bytes")
    return {"text": corpus, "mix": mixed, "synthetic": prepare(process, "bytes")}


def taken(corpus: Corpus, recipe: Recipe, start: int, stop: int) -> np.ndarray:
    """Windows (stop - start, B, T+1) that the steps take out of the chunks."""
    found = list(chunks(corpus, recipe.data_order, start, stop))
    assert [c.start for c in found] == [start, *(c.stop for c in found[:-1])]
    assert all(c.rows.shape == (CHUNK, BATCH) and c.rows.dtype == np.int32 for c in found)
    return np.concatenate([np.asarray(c.windows)[c.rows[: c.stop - c.start]] for c in found])


@pytest.mark.parametrize("limit", [0, 1 << 40])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=examples(8), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 3 * CHUNK), length=st.integers(1, 2 * CHUNK), seed=st.integers(0, 2**32))
def test_chunks_hold_each_steps_own_windows(
    kind: str,
    limit: int,
    start: int,
    length: int,
    seed: int,
    corpora: dict[str, Corpus],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "RESIDENT_BYTES", limit)
    corpus, recipe = corpora[kind], replace(small_recipe(), data_seed=seed)
    order = corpus.order(seed, start, start + length, batch_size=BATCH, context=CONTEXT)
    expected = corpus.windows("train", CONTEXT, order.ravel()).reshape(length, BATCH, CONTEXT + 1)
    np.testing.assert_array_equal(taken(corpus, recipe, start, start + length), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_takes_the_same_chunks(
    kind: str, corpora: dict[str, Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 0)
    recipe = small_recipe()
    whole = list(chunks(corpora[kind], recipe.data_order, 0, 3 * CHUNK))
    resumed = list(chunks(corpora[kind], recipe.data_order, 2 * CHUNK, 3 * CHUNK))
    assert resumed[0][:2] == whole[2][:2]
    np.testing.assert_array_equal(np.asarray(resumed[0].windows), np.asarray(whole[2].windows))


def test_members_share_a_resident_corpus(corpus: Corpus) -> None:
    assert is_resident(corpus, CONTEXT)
    first, second = (next(chunks(corpus, small_recipe(data_seed=seed).data_order, 0, 3)) for seed in range(2))
    assert first.windows is second.windows
    assert (first.rows[:3] != second.rows[:3]).any()


def test_what_is_unlimited_is_not_resident(corpora: dict[str, Corpus]) -> None:
    assert not is_resident(corpora["synthetic"], CONTEXT)
    assert not is_resident(corpora["mix"], CONTEXT)


@given(st.lists(st.integers(), max_size=60))
@settings(max_examples=examples(20))
def test_results_come_in_order_and_once(items: list[int]) -> None:
    assert list(read_ahead(items, lambda x: (x, x + 1))) == [(x, x + 1) for x in items]


def test_reading_runs_ahead_of_the_caller_and_no_further() -> None:
    read: list[int] = []

    def note(item: int) -> int:
        read.append(item)
        return item

    results = read_ahead(range(10 * AHEAD), note)
    assert next(results) == 0
    deadline = time.monotonic() + 20
    while len(read) < AHEAD and time.monotonic() < deadline:
        time.sleep(0.01)
    assert AHEAD <= len(read) <= AHEAD + 2


def test_a_failed_read_reaches_the_caller() -> None:
    results = read_ahead([1, 2, 0, 4], lambda x: 4 // x)
    assert list(itertools.islice(results, 2)) == [4, 2]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_an_abandoned_stream_leaves_no_threads() -> None:
    before = threading.active_count()
    results = read_ahead(range(100), lambda x: x)
    assert next(results) == 0
    assert threading.active_count() > before
    del results
    gc.collect()
    deadline = time.monotonic() + 20
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before
