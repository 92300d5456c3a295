"""Mixtures: weights that hold exactly in every block, from positions alone."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from isoflop.base.errors import UserError
from isoflop.train.data.corpus import Corpus, prepare
from isoflop.train.data.mixed_corpus import MixedCorpus
from isoflop.train.data.order import arranged
from isoflop.train.data.row_corpus import SPLITS
from isoflop.train.data.sources import open_source
from isoflop.train.data.sources.mix import MixSource, _interleaved, shares_of
from isoflop.train.data.sources.mix import open_source as open_mixture
from tests.support.examples import examples
from tests.support.pseudo_english import pseudo_english

CONTEXT = 32
seeds = st.integers(0, 2**64 - 1)
weightings = st.lists(st.integers(1, 40), min_size=1, max_size=5)
positions = st.integers(0, 2000)


@pytest.fixture(scope="session")
def other_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another 200 KB, of upper case."""
    path = tmp_path_factory.mktemp("other") / "c++=words.txt"
    path.write_text(pseudo_english(200_000, seed=7).upper())
    return path


@pytest.fixture(scope="session")
def mix_name(source_name: str, other_file: Path) -> str:
    """Seven windows of the small corpus to three of the other."""
    return f"mix:{source_name}=0.7+text:{other_file}=.3"


@pytest.fixture(scope="session")
def mixed(mix_name: str) -> MixedCorpus:
    """That mixture as bytes."""
    corpus = prepare(mix_name, "bytes")
    assert isinstance(corpus, MixedCorpus)
    return corpus


def is_upper(windows: np.ndarray) -> np.ndarray:
    """Which windows (n,) are the other corpus'."""
    return np.asarray(((windows < ord("a")) | (windows > ord("z"))).all(axis=1))


@given(seeds, positions, positions, positions, weightings)
def test_any_split_draws_from_the_same_parts(seed: int, a: int, b: int, c: int, weights: list[int]) -> None:
    start, middle, stop = sorted((a, b, c))
    whole, before = arranged(seed, start, stop, weights)
    first, same = arranged(seed, start, middle, weights)
    second, between = arranged(seed, middle, stop, weights)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    np.testing.assert_array_equal(before, same)
    np.testing.assert_array_equal(between - before, np.bincount(first, minlength=len(weights)))


@given(seeds, st.integers(0, 2**40), st.integers(1, 3), weightings)
def test_every_block_holds_the_weights_exactly(seed: int, block: int, count: int, weights: list[int]) -> None:
    size = sum(weights)
    parts, before = arranged(seed, block * size, (block + count) * size, weights)
    np.testing.assert_array_equal(before, block * np.array(weights))
    for one in parts.reshape(count, size):
        np.testing.assert_array_equal(np.bincount(one, minlength=len(weights)), weights)


def test_blocks_and_seeds_are_arranged_differently() -> None:
    parts = [arranged(seed, 0, 300, [50, 50])[0].reshape(3, 100) for seed in range(3)]
    assert len({row.tobytes() for part in parts for row in part}) == 9


def test_the_arrangement_never_changes() -> None:
    """Stored results hang on it: if this fails, raise RESULTS_VERSION, or find out why it moved."""
    parts, before = arranged(3, 17, 27, [5, 3, 2])
    assert parts.tolist() == GOLDEN
    assert before.tolist() == GOLDEN_BEFORE


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(25))
@given(seed=seeds, steps=st.lists(st.integers(0, 300), min_size=2, max_size=4), batch=st.integers(1, 9))
def test_any_split_of_the_steps_gives_the_same_windows(
    seed: int, steps: list[int], batch: int, mixed: MixedCorpus
) -> None:
    edges = sorted(steps)
    parts = [mixed.order(seed, a, b, batch_size=batch, context=CONTEXT) for a, b in itertools.pairwise(edges)]
    whole = mixed.order(seed, edges[0], edges[-1], batch_size=batch, context=CONTEXT)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("seed", [0, 12])
def test_within_a_part_no_window_comes_twice_in_a_pass(mixed: MixedCorpus, seed: int) -> None:
    sizes = [corpus.n_windows("train", CONTEXT) for corpus in mixed.corpora]
    drawn = mixed.draw(seed, 0, 3 * sum(sizes), CONTEXT)
    for part, (size, offset) in enumerate(zip(sizes, (0, sizes[0]), strict=True)):
        own = drawn[(drawn >= offset) & (drawn < offset + size)] - offset
        passes = len(own) // size
        assert passes >= 2
        for once in own[: passes * size].reshape(passes, size):
            np.testing.assert_array_equal(np.sort(once), np.arange(size))
        # as the part alone gives them
        np.testing.assert_array_equal(own, mixed.corpora[part].draw(seed, 0, len(own), CONTEXT))


def test_nothing_repeats_before_the_tokens_run_out(mixed: MixedCorpus) -> None:
    whole_blocks = mixed.n_tokens("train") // CONTEXT // 10 * 10
    drawn = mixed.draw(5, 0, whole_blocks + 20, CONTEXT)
    assert len(set(drawn[:whole_blocks].tolist())) == whole_blocks
    assert len(set(drawn.tolist())) < len(drawn)


def test_windows_are_the_parts_own(mixed: MixedCorpus, corpus: Corpus) -> None:
    order = mixed.order(1, 0, 100, batch_size=10, context=CONTEXT)
    windows = mixed.windows("train", CONTEXT, order.ravel())
    upper = is_upper(windows)
    assert upper.sum() == 300
    n = corpus.n_windows("train", CONTEXT)
    np.testing.assert_array_equal(order.ravel() >= n, upper)
    np.testing.assert_array_equal(windows[~upper], corpus.windows("train", CONTEXT, order.ravel()[~upper]))


@pytest.mark.parametrize(("count", "upper"), [(10, 3), (64, 19), (1, 0)])
def test_evaluation_keeps_the_weights(mixed: MixedCorpus, count: int, upper: int) -> None:
    windows = mixed.evaluation_windows("heldout", CONTEXT, count)
    assert windows.shape == (count, CONTEXT + 1)
    assert is_upper(windows).sum() == upper


def test_a_part_that_is_too_small_to_evaluate_is_named(mixed: MixedCorpus) -> None:
    with pytest.raises(UserError, match=r"words.txt has .* heldout windows .* are asked for"):
        mixed.evaluation_windows("heldout", CONTEXT, 5000)


@pytest.mark.parametrize("split", SPLITS)
def test_splits_stay_apart(mix_name: str, split: Any) -> None:
    source = open_source(mix_name)
    assert isinstance(source, MixSource)
    own = [set(part.split(split)) for part in source.sources]
    assert set(source.split(split)) == own[0] | own[1]


def test_bytes_per_token_and_the_end_of_documents_are_the_parts(mixed: MixedCorpus) -> None:
    assert mixed.bytes_per_token == 1
    assert mixed.eos == 0
    assert mixed.floor(CONTEXT) is None


def test_a_tokenizer_is_trained_on_the_mixture(mix_name: str, source_name: str) -> None:
    mixed, alone = prepare(mix_name, "bpe-330"), prepare(source_name, "bpe-330")
    assert isinstance(mixed, MixedCorpus)
    assert [part.vocab_size for part in mixed.corpora] == [330, 330]
    assert mixed.corpora[0].spec.digest != alone.spec.digest
    assert mixed.eos == mixed.corpora[1].eos
    sizes = [part.bytes_per_token or 0 for part in mixed.corpora]
    assert mixed.bytes_per_token == pytest.approx(0.7 * sizes[0] + 0.3 * sizes[1])
    assert min(sizes) > 1.2  # merges of both were learnt


@given(
    st.lists(st.tuples(st.integers(1, 9), st.lists(st.integers(1, 50), min_size=1)), min_size=1, max_size=4)
)
@example([(3, [50, 1, 1, 20, 50]), (3, [1, 1, 20, 50, 50])])  # 50 / 3 apart, exactly
def test_texts_are_interleaved_by_weight(parts: list[tuple[int, list[int]]]) -> None:
    texts = [[f"{i}" * n for n in lengths] for i, (_, lengths) in enumerate(parts)]
    weights = [weight for weight, _ in parts]
    again = [lambda own=own: iter(own) for own in texts]
    found = list(_interleaved([iter(own) for own in texts], again, weights))
    assert {text for own in texts for text in own} == set(found)
    taken = [sum(len(text) for text in found if text[0] == str(i)) for i in range(len(parts))]
    shares = [Fraction(length, weight) for length, weight in zip(taken, weights, strict=True)]
    assert max(shares) - min(shares) <= Fraction(50, min(weights))


def test_a_source_without_text_ends_the_mixture() -> None:
    assert list(_interleaved([iter(()), iter("ab")], [lambda: iter(()), lambda: iter("ab")], [1, 1])) == []


def test_a_process_can_be_mixed_in(source_name: str) -> None:
    mixed = prepare(f"mix:synthetic:markov,vocab=300,branch=8=0.25+{source_name}=0.75", "bytes")
    windows = mixed.windows("train", CONTEXT, mixed.draw(2, 0, 200, CONTEXT))
    assert mixed.dtype == windows.dtype == np.uint16
    assert (mixed.eos, mixed.bytes_per_token, mixed.vocab_size) == (None, None, 300)
    of_process = (windows == 0).any(axis=1) | (windows > 255).any(axis=1) | (windows < 10).any(axis=1)
    assert of_process.sum() == pytest.approx(50, abs=3)
    assert mixed.evaluation_windows("heldout", CONTEXT, 8).shape == (8, CONTEXT + 1)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("", "is no mixture: write mix:SOURCE=WEIGHT"),
        ("wiki-intro=1", "is no mixture"),
        ("wiki-intro=0.5+text:x", "is no mixture"),
        ("wiki-intro=0.5+synthetic:zipf=0.5+", "is no mixture"),
        ("wiki-intro=0.5+synthetic:zipf=0.6", "sum to 1, and not 0.5, 0.6"),
        ("wiki-intro=0.9995+synthetic:zipf=0.0005", "thousandths"),
        ("wiki-intro=1+synthetic:zipf=0", "above 0"),
        ("wiki-intro=0.5+wiki-intro=0.5", "names a source twice"),
        ("imagenet=0.5+wiki-intro=0.5", "unknown dataset 'imagenet'"),
        ("wiki-intro=0.5+mix:synthetic:zipf=0.5", "mix:synthetic:zipf stands in a mixture"),
        ("wiki-intro=0.5+synthetic:zipf,size=3=0.5", "has no parameter 'size'"),
    ],
)
def test_a_mixture_that_cannot_be_is_one_line(argument: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        open_mixture(argument)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_shares_of_a_source_are_those_of_its_parts() -> None:
    name = "mix:wiki-intro=0.7+damaged:noise=0.5:text:books/*.txt=.3"
    assert shares_of(name) == {"wiki-intro": 0.7, "damaged:noise=0.5:text:books/*.txt": 0.3}
    assert shares_of("wiki-intro:fr") == {"wiki-intro:fr": 1.0}


def test_names_may_hold_the_syntaxs_own_signs() -> None:
    name = "synthetic:markov,order=1,vocab=20,branch=4"
    source = open_mixture(f"{name}=0.001+synthetic:zipf,exponent=1.5=.999")
    assert [part.name for part in source.sources] == [name, "synthetic:zipf,exponent=1.5"]
    assert source.weights == (1, 999)
    assert open_mixture(f"{name}=0.25+synthetic:zipf=0.75").weights == (1, 3)


GOLDEN = [0, 2, 1, 1, 0, 2, 0, 0, 2, 1]
GOLDEN_BEFORE = [9, 5, 3]


def test_frequencies_are_the_parts_by_weight(mixed: MixedCorpus) -> None:
    parts = [part.frequencies("train") for part in mixed.corpora]
    found = mixed.frequencies("train")
    assert found is not None
    np.testing.assert_allclose(found, np.average(np.array(parts), axis=0, weights=mixed.weights))
    assert 0 < mixed.baseline_loss < np.log(256)
