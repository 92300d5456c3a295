"""Synthetic corpora: the same tokens everywhere, by the law of their tables, above the floor they state."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.extend.random import threefry_2x32
from scipy.stats import chi2

from isoflop.base.errors import UserError
from isoflop.train.data.corpus import Corpus, prepare
from isoflop.train.data.frequency_tables import (
    WORD,
    alias_table,
    columns,
    draw,
    entropy,
    probabilities,
    uniform_entropy,
    uniform_probabilities,
    zipf_weights,
)
from isoflop.train.data.processes import open_process, process_names
from isoflop.train.data.processes.copy import Process as Copy
from isoflop.train.data.processes.facts import Process as Facts
from isoflop.train.data.processes.markov import Process as Markov
from isoflop.train.data.processes.zipf import Process as Zipf
from isoflop.train.data.random_bits import below, threefry
from isoflop.train.data.sources.synthetic import open_source
from isoflop.train.data.synthetic_corpus import SyntheticCorpus
from tests.support.examples import examples

NAMES = (
    "zipf,vocab=300,exponent=1.2",
    "markov,order=1,vocab=20,branch=4",
    "markov,vocab=12,branch=3,exponent=0.5",
    "copy,length=6,vocab=9",
    "facts,facts=300,answers=7,exponent=0.5",
)
CONTEXT = 24
words = st.integers(0, WORD - 1)
every = pytest.mark.parametrize("name", NAMES)


def corpus_of(argument: str) -> SyntheticCorpus:
    """The prepared corpus of a process."""
    corpus = prepare(f"synthetic:{argument}", "bytes")
    assert isinstance(corpus, SyntheticCorpus)
    return corpus


def windows_of(corpus: Corpus, count: int, context: int = CONTEXT) -> np.ndarray:
    """The first training windows (count, context + 1), as signed integers."""
    return corpus.windows("train", context, np.arange(count)).astype(np.int64)


def chi_square_p(counts: np.ndarray, expected: np.ndarray) -> float:
    """How often counts as far from the expected ones come by chance; cells of fewer than 10 are pooled."""
    few = expected < 10
    counts, expected = (np.append(x[~few], x[few].sum()) for x in (counts, expected))
    kept = expected > 0
    statistic = ((counts[kept] - expected[kept]) ** 2 / expected[kept]).sum()
    return float(chi2.sf(statistic, kept.sum() - 1))


@given(words, words, words, words)
def test_threefry_is_the_published_one(key0: int, key1: int, count0: int, count1: int) -> None:
    arrays = [np.array([x], dtype=np.uint32) for x in (key0, key1, count0, count1)]
    ours = np.concatenate(threefry(*arrays))
    theirs = threefry_2x32(jnp.concatenate(arrays[:2]), jnp.concatenate(arrays[2:]))
    np.testing.assert_array_equal(ours, theirs)


def test_threefrys_known_answers() -> None:
    """Random123's `kat_vectors`, threefry2x32 of 20 rounds."""
    ones = np.array([0xFFFFFFFF], dtype=np.uint32)
    zero = ones * np.uint32(0)
    assert [int(x[0]) for x in threefry(zero, zero, zero, zero)] == [0x6B200159, 0x99BA4EFE]
    assert [int(x[0]) for x in threefry(ones, ones, ones, ones)] == [0x1CB996FC, 0xBB002BE7]


@given(st.lists(words, min_size=1, max_size=20), st.integers(1, 1 << 16))
def test_below_is_the_product_rounded_down(bits: list[int], bound: int) -> None:
    found = below(np.array(bits, dtype=np.uint32), np.uint32(bound))
    assert found.tolist() == [x * bound >> 32 for x in bits]


@given(st.integers(1, 5000))
def test_a_uniform_draws_probabilities_and_entropy(bound: int) -> None:
    p = uniform_probabilities(bound)
    first = np.ceil(np.arange(bound) * (WORD / bound)).astype(np.int64)  # exact: both factors are small
    np.testing.assert_array_equal(below(first.astype(np.uint32), np.uint32(bound)), np.arange(bound))
    assert p.sum() == 1
    assert float(uniform_entropy(bound)) == pytest.approx(entropy(p), abs=1e-12)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40).filter(any))
def test_an_alias_table_is_exact(shares: list[int]) -> None:
    total = columns(len(shares)) * WORD
    weights = [share * total // sum(shares) for share in shares]
    weights[shares.index(max(shares))] += total - sum(weights)
    table = alias_table(weights)
    np.testing.assert_array_equal(probabilities(table, len(shares)), np.array(weights) / total)


@given(st.integers(2, 30), st.integers(0, 2**32 - 1))
@settings(max_examples=examples(20))
def test_draws_are_the_tables(n: int, word: int) -> None:
    table = alias_table(zipf_weights(n, 1.0, columns(n) * WORD))
    shift = 32 - int(math.log2(columns(n)))
    tosses = np.array([0, word, WORD - 1], dtype=np.uint32)
    for column, (threshold, own, other) in enumerate(table.tolist()):
        drawn = draw(jnp.asarray(table), jnp.full(3, column << shift, jnp.uint32), tosses)
        assert np.asarray(drawn).tolist() == [own if t < threshold else other for t in tosses.tolist()]


@given(st.integers(2, 200), st.floats(0, 8))
def test_zipf_weights_are_zipfs(n: int, exponent: float) -> None:
    weights = zipf_weights(n, exponent, WORD)
    ideal = np.arange(1, n + 1.0) ** -exponent
    assert sum(weights) == WORD
    assert min(weights) >= 1
    np.testing.assert_allclose(np.array(weights) / WORD, ideal / ideal.sum(), atol=2 * n / WORD)


@every
def test_tokens_never_change(name: str) -> None:
    """Stored results hang on them: if this fails, raise GENERATOR, or find out why the tokens moved."""
    corpus = corpus_of(name)
    assert corpus.windows("heldout", CONTEXT, [(5 << 32) + 7])[0, :10].tolist() == GOLDEN[name]


@every
@settings(max_examples=examples(10))
@given(index=st.lists(st.integers(0, 2**56 - 1), min_size=1, max_size=4))
def test_a_window_is_the_same_in_whatever_company(name: str, index: list[int]) -> None:
    corpus = corpus_of(name)
    together = corpus.windows("tune", CONTEXT, index)
    assert together.shape == (len(index), CONTEXT + 1)
    assert together.dtype == corpus.dtype
    assert together.max() < corpus.vocab_size
    alone = np.concatenate([corpus.windows("tune", CONTEXT, [i]) for i in reversed(index)])
    np.testing.assert_array_equal(together[::-1], alone)


@every
def test_compiled_tokens_are_numpys(name: str) -> None:
    """Operation by operation, without the compiler's fusing: what another backend has to agree with."""
    process = open_process(name)
    tables = {key: jnp.asarray(table) for key, table in process.tables().items()}
    keys = jnp.asarray(np.random.default_rng(0).integers(0, WORD, (2, 3), dtype=np.uint32))
    with jax.disable_jit():
        slowly = process.sample(tables, keys, CONTEXT + 1)
    quickly = jax.jit(process.sample, static_argnums=2)(tables, keys, CONTEXT + 1)
    np.testing.assert_array_equal(slowly, quickly)


@every
def test_splits_seeds_and_processes_are_streams_of_their_own(name: str) -> None:
    corpus = corpus_of(name)
    first = [corpus.windows(split, CONTEXT, np.arange(50)) for split in ("train", "tune", "heldout")]
    orders = [corpus.order(seed, 0, 5, batch_size=10, context=CONTEXT) for seed in range(3)]
    first += [corpus.windows("train", CONTEXT, order.ravel()) for order in orders[1:]]
    first.append(windows_of(corpus_of(f"{name},seed=1"), 50).astype(corpus.dtype))
    assert len({window.tobytes() for part in first for window in part}) == 50 * len(first)


@given(st.integers(0, 2**64 - 1), st.integers(0, 10**6), st.integers(0, 20), st.integers(1, 8))
def test_training_never_repeats_a_window(seed: int, start: int, steps: int, batch: int) -> None:
    corpus = corpus_of(NAMES[0])
    order = corpus.order(seed, start, start + steps, batch_size=batch, context=CONTEXT)
    assert order.shape == (steps, batch)
    begin = corpus.order(seed, 0, 1, batch_size=1, context=CONTEXT)[0, 0]
    np.testing.assert_array_equal(order.ravel() - begin, start * batch + np.arange(steps * batch))
    assert 0 <= begin <= corpus.n_windows("train", CONTEXT) - corpus.n_tokens("train")


def test_zipf_tokens_are_as_frequent_as_the_table_says() -> None:
    process = Zipf(vocab=300, exponent=1.2)
    tokens = windows_of(corpus_of("zipf,vocab=300,exponent=1.2"), 20_000)
    p = probabilities(process.tables()["ids"], 300)
    assert chi_square_p(np.bincount(tokens.ravel(), minlength=300), p * tokens.size) > 1e-3
    pairs = tokens[:, 1:] * 300 + tokens[:, :-1]  # successive tokens are independent
    assert (
        chi_square_p(np.bincount(pairs.ravel(), minlength=90_000), np.outer(p, p).ravel() * pairs.size) > 1e-3
    )


@pytest.mark.parametrize("process", [Markov(1, 20, 4), Markov(2, 12, 3)], ids=["1", "2"])
def test_markov_transitions_are_the_tables(process: Markov) -> None:
    corpus = corpus_of(f"markov,order={process.order},vocab={process.vocab},branch={process.branch}")
    tokens, rows = windows_of(corpus, 20_000), transitions(process)
    context = tokens[:, :-1] if process.order == 1 else tokens[:, :-2] * process.vocab + tokens[:, 1:-1]
    pairs = np.bincount(
        (context * process.vocab + tokens[:, process.order :]).ravel(), minlength=rows.size
    ).reshape(rows.shape)
    assert (pairs[rows == 0] == 0).all()
    assert chi_square_p(pairs.ravel(), (pairs.sum(axis=1, keepdims=True) * rows).ravel()) > 1e-3
    # Wherever in a window, the context is as frequent: the first is drawn from the stationary law.
    law = probabilities(process.tables()["start"], process.contexts)
    for place in (0, 3, context.shape[1] - 1):
        counts = np.bincount(context[:, place], minlength=process.contexts)
        assert chi_square_p(counts, law * len(context)) > 1e-3


def transitions(process: Markov) -> np.ndarray:
    """Probabilities (contexts, vocab) of what follows, from the tables as the sampler reads them."""
    tables = process.tables()
    rows = np.zeros((process.contexts, process.vocab))
    shares = probabilities(tables["slots"], process.branch)
    np.add.at(rows, (np.arange(process.contexts)[:, None], tables["after"]), shares)
    return rows


def test_copies_are_copies_and_the_rest_is_uniform() -> None:
    process = Copy(vocab=9, length=6)
    tokens = windows_of(corpus_of("copy,vocab=9,length=6"), 20_000)
    assert ((tokens == 0).sum(axis=1) == 2).all()
    first, second = np.nonzero(tokens == 0)[1].reshape(-1, 2).T
    inside = np.arange(1, 7)
    rows = np.arange(len(tokens))[:, None]
    np.testing.assert_array_equal(
        tokens[rows, second[:, None] + inside], tokens[rows, first[:, None] + inside]
    )
    places = CONTEXT + 1 - 2 * process.length - 1
    assert first.max() == places - 1
    assert chi_square_p(np.bincount(first), uniform_probabilities(places) * len(tokens)) > 1e-3
    for at in range(0, places, 5):
        gaps = second[first == at] - at - 7
        assert (
            chi_square_p(
                np.bincount(gaps, minlength=places - at), uniform_probabilities(places - at) * len(gaps)
            )
            > 1e-3
        )
    free = tokens[:, 0][tokens[:, 0] > 0] - 1
    assert chi_square_p(np.bincount(free), uniform_probabilities(8) * len(free)) > 1e-3


@pytest.mark.parametrize("exponent", [0, 1.5])
def test_facts_are_as_frequent_as_stated_and_have_one_answer_each(exponent: float) -> None:
    process = Facts(facts=300, answers=7, exponent=exponent)
    tables = process.tables()
    tokens = windows_of(corpus_of(f"facts,facts=300,answers=7,exponent={exponent}"), 20_000, 23)
    first, second, answer = tokens.reshape(len(tokens), -1, 3).transpose(2, 0, 1)
    # 18 ids for either half: the least whose square holds 300.
    assert sorted(tables["names"]) == list(range(300))
    number = np.argsort(tables["names"])[first * 18 + second - 18]
    ideal = np.arange(1, 301.0) ** -exponent
    np.testing.assert_allclose(process.frequencies(tables), ideal / ideal.sum(), atol=1e-8)
    counts = np.bincount(number.ravel(), minlength=300)
    assert chi_square_p(counts, process.frequencies(tables) * number.size) > 1e-3
    np.testing.assert_array_equal(answer, 36 + tables["answers"][number])
    assert tokens.max() < process.vocab_size == 43
    assert chi_square_p(np.bincount(tables["answers"], minlength=7), uniform_probabilities(7) * 300) > 1e-3
    again = Facts(facts=300, answers=7, seed=1).tables()["answers"]
    assert 0.05 < (again == tables["answers"]).mean() < 0.25


def log_losses(process: Any, tokens: np.ndarray) -> np.ndarray:
    """What the best predictor loses on each window (windows,), nats per target."""
    if isinstance(process, Zipf):
        return -np.log(probabilities(process.tables()["ids"], process.vocab))[tokens[:, 1:]].mean(axis=1)
    if isinstance(process, Markov):
        return chain_losses(process, tokens)
    if isinstance(process, Facts):
        return fact_losses(process, tokens)
    return np.array([copy_losses(process, window) for window in tokens])


def chain_losses(process: Markov, tokens: np.ndarray) -> np.ndarray:
    rows = np.log(np.maximum(transitions(process), 1e-300))
    if process.order == 1:
        return -rows[tokens[:, :-1], tokens[:, 1:]].mean(axis=1)
    pairs = probabilities(process.tables()["start"], process.contexts).reshape(process.vocab, process.vocab)
    first = np.log(pairs.sum(axis=1)[tokens[:, 0]] / pairs[tokens[:, 0], tokens[:, 1]])
    rest = -rows[tokens[:, :-2] * process.vocab + tokens[:, 1:-1], tokens[:, 2:]].sum(axis=1)
    return (first + rest) / (tokens.shape[1] - 1)


def fact_losses(process: Facts, tokens: np.ndarray) -> np.ndarray:
    """Target by target, from the first id of a number on; an answer that is known costs nothing."""
    by_digits = np.zeros(process.base**2)
    tables = process.tables()
    by_digits[tables["names"]] = process.frequencies(tables)
    by_first = by_digits.reshape(-1, process.base).sum(axis=1)
    losses = np.zeros(tokens.shape)
    losses[:, 3::3] = -np.log(by_first[tokens[:, 3::3]])
    firsts = tokens[:, 0::3][:, : tokens[:, 1::3].shape[1]]
    number = firsts * process.base + tokens[:, 1::3] - process.base
    losses[:, 1::3] = np.log(by_first[firsts] / by_digits[number])
    return losses.sum(axis=1) / (tokens.shape[1] - 1)


def copy_losses(process: Copy, window: np.ndarray) -> float:
    """Token by token: which places the markers may still take, given what the window has shown so far."""
    n, length = len(window), process.length
    places = n - 2 * length - 1
    first, second = (np.flatnonzero(window == 0)).tolist()
    p_first = np.append(uniform_probabilities(places), np.zeros(n - places))
    loss = 0.0
    for t in range(1, n):
        free = math.log(process.vocab - 1)
        if t <= first:
            marker = p_first[t] / p_first[t:].sum()
            loss -= math.log(marker) if t == first else math.log1p(-marker) - free
        elif first < t <= first + length or t > second + length:
            loss += free
        elif t <= second:
            p = uniform_probabilities(places - first)[t - first - length - 1 :]
            loss -= math.log(p[0] / p.sum()) if t == second else math.log1p(-p[0] / p.sum()) - free
    return loss / (n - 1)


@pytest.mark.parametrize("context", [13, CONTEXT])
@every
def test_the_floor_is_what_the_best_predictor_loses(name: str, context: int) -> None:
    corpus = corpus_of(name)
    losses = log_losses(open_process(name), windows_of(corpus, 3000, context))
    error = losses.std(ddof=1) / math.sqrt(len(losses))
    assert error < 0.02
    assert abs(losses.mean() - corpus.floor(context)) < 3.5 * error + 1e-12


@pytest.mark.parametrize("process", [Markov(1, 20, 4), Markov(2, 12, 3)], ids=["1", "2"])
def test_a_chains_floor_tends_to_its_entropy_rate(process: Markov) -> None:
    """The rate from the eigenvector of the transition matrix, by another way than the floor's own."""
    rows = transitions(process)
    matrix = np.zeros((process.contexts, process.contexts))
    context = np.arange(process.contexts)
    following = np.arange(process.vocab)
    then = context[:, None] % (process.contexts // process.vocab) * process.vocab + following
    matrix[context[:, None], then] = rows
    values, vectors = np.linalg.eig(matrix.T)
    law = np.real(vectors[:, np.argmax(np.real(values))])
    law /= law.sum()
    start = probabilities(process.tables()["start"], process.contexts)
    assert np.abs(start - law).sum() < 1e-6
    rate = law @ np.array([entropy(row) for row in rows])
    floor = process.floor(process.tables(), 1000)
    extra = 0.0
    if process.order == 2:
        pairs = law.reshape(process.vocab, process.vocab)
        extra = (entropy(law.clip(0)) - entropy(pairs.sum(axis=1)) - rate) / 1000
    assert floor == pytest.approx(rate + extra, abs=1e-7)


def test_a_copys_floor_counts_its_windows() -> None:
    """All windows of ids 0 to 2 that a process of segments of 1 can make in 5 ids, nearly equally likely."""
    process = Copy(vocab=3, length=1)
    law: dict[tuple[int, ...], float] = {}
    for first, p in enumerate(uniform_probabilities(2)):
        for gap, q in enumerate(uniform_probabilities(2 - first)):
            second = first + 2 + gap
            for free in np.ndindex(2, 2):
                ids = iter(free)
                window = [0 if i in (first, second) else -1 for i in range(5)]
                window = [x if i == second + 1 or x == 0 else 1 + next(ids) for i, x in enumerate(window)]
                window[second + 1] = window[first + 1]
                law[tuple(window)] = law.get(tuple(window), 0) + p * q / 4
    starts = np.array([sum(p for w, p in law.items() if w[0] == i) for i in range(3)])
    assert process.floor({}, 4) == pytest.approx((entropy(np.array([*law.values()])) - entropy(starts)) / 4)


@every
def test_a_synthetic_corpus_is_unlimited_and_stands_for_no_text(name: str) -> None:
    corpus = corpus_of(name)
    assert corpus.n_tokens("train") == 2**40
    assert corpus.bytes_per_token is None
    assert corpus.eos is None
    np.testing.assert_array_equal(
        corpus.evaluation_windows("heldout", CONTEXT, 70)[:30],
        corpus.evaluation_windows("heldout", CONTEXT, 30),
    )


def test_one_process_spelled_twice_is_one_corpus() -> None:
    first, again = (prepare(f"synthetic:{name}", "bytes") for name in ("zipf", "zipf,seed=0,vocab=256"))
    assert first.folder == again.folder
    assert first.spec.source == "synthetic:zipf"
    assert prepare("synthetic:zipf,seed=1", "bytes").spec.digest != first.spec.digest


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("", "unknown synthetic process '': known are arithmetic, copy, countdown, countdown-tries, facts, "),
        ("zip", "unknown synthetic process 'zip'"),
        ("zipf,order=2", "has no parameter 'order': known are vocab, exponent, seed"),
        ("zipf,vocab", "vocab= is no whole number"),
        ("zipf,vocab=2.5", "vocab=2.5 is no whole number"),
        ("zipf,exponent=steep", "exponent=steep is no number"),
        ("zipf,exponent=nan", "exponent=nan is outside 0 to 8"),
        ("zipf,vocab=1", "vocab=1 is outside 2 to 65536"),
        ("zipf,vocab=70000", "is outside 2 to 65536"),
        ("zipf,vocab=9,vocab=9", "names vocab twice"),
        ("markov,order=3", "order=3 is outside 1 to 2"),
        ("markov,order=2,vocab=1000", "makes 1000000 contexts, more than 262144"),
        ("markov,branch=1", "branch=1 is outside 2 to 64"),
        ("markov,seed=-1", "seed=-1 is outside"),
        ("facts,facts=70000", "facts=70000 is outside 2 to 65536"),
        ("facts,answers=1", "answers=1 is outside"),
        ("facts,exponent=-1", "exponent=-1 is outside 0 to 8"),
        ("copy,length=0", "length=0 is outside"),
        ("copy,vocab=2", "vocab=2 is outside"),
    ],
)
def test_a_process_that_cannot_be_is_one_line(argument: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        open_source(argument)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_context_too_short_for_a_copy_is_refused() -> None:
    corpus = corpus_of("copy,length=16")
    assert corpus.windows("train", 33, [0]).shape == (1, 34)
    for context in (32, 0, 1 << 16):
        with pytest.raises(UserError, match=f"fills contexts of 33 to 32768 tokens, not {context}"):
            corpus.n_windows("train", context)
        with pytest.raises(UserError, match="fills contexts of 33"):
            corpus.evaluation_windows("heldout", context, 3)
        with pytest.raises(UserError, match="fills contexts of 33"):
            corpus.floor(context)


@pytest.mark.parametrize("tokenizer", ["bpe-400", "gpt2"])
def test_ids_take_no_tokenizer(tokenizer: str) -> None:
    with pytest.raises(UserError, match="tokenizer"):
        prepare("synthetic:zipf", tokenizer)


def test_every_process_is_found_by_its_file() -> None:
    assert {"zipf", "markov", "copy", "facts"} <= set(process_names())


GOLDEN = {
    "zipf,vocab=300,exponent=1.2": [15, 0, 4, 0, 169, 0, 0, 121, 49, 2],
    "markov,order=1,vocab=20,branch=4": [0, 0, 0, 1, 2, 6, 19, 11, 3, 0],
    "markov,vocab=12,branch=3,exponent=0.5": [0, 10, 3, 4, 1, 10, 9, 6, 4, 3],
    "copy,length=6,vocab=9": [1, 3, 5, 0, 8, 4, 8, 6, 1, 2],
    "facts,facts=300,answers=7,exponent=0.5": [16, 24, 42, 8, 26, 40, 8, 32, 41, 5],
}
