"""Text into splits, tokens, rows and windows."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from isoflop.base.errors import UserError
from isoflop.train.data import row_corpus
from isoflop.train.data.corpus import META, Corpus, load, prepare, prepared, token_dtype
from isoflop.train.data.row_corpus import ROW, SPLITS, _rows
from isoflop.train.data.sources import Document, TextSource, open_source, source_names
from isoflop.train.data.sources.wiki_intro import SHA256
from isoflop.train.data.tokenizers import Bytes, open_tokenizer
from isoflop.train.spec import Split
from tests.support.optional import lacking
from tests.support.pseudo_english import pseudo_english

BPE = "bpe-320"
GOLDEN_DIGEST = "3d299645d195ea23"


def tokens_of(corpus: Corpus, split: Split, context: int) -> np.ndarray:
    """All targets of a split, in order."""
    count = corpus.n_windows(split, context)
    return corpus.windows(split, context, np.arange(count))[:, 1:].ravel()


@pytest.fixture(scope="session")
def bpe_corpus(source_name: str) -> Corpus:
    """The small corpus under a byte-pair encoding trained on it."""
    return prepare(source_name, BPE)


@pytest.mark.parametrize("split", SPLITS)
def test_bytes_come_back_as_the_text_they_were(corpus: Corpus, source_name: str, split: Split) -> None:
    text = b"\0".join(t.encode() for t in open_source(source_name).split(split))
    tokens = tokens_of(corpus, split, ROW)
    assert tokens.dtype == np.uint8
    assert len(tokens) == corpus.n_tokens(split) > len(text) - ROW - 1
    assert tokens.tobytes() == text[1 : len(tokens) + 1]


@pytest.mark.parametrize("context", [1, 32, 256])
def test_windows_of_every_context_predict_each_token_once(corpus: Corpus, context: int) -> None:
    np.testing.assert_array_equal(tokens_of(corpus, "tune", context), tokens_of(corpus, "tune", ROW))


def test_windows_overlap_by_one_token(corpus: Corpus) -> None:
    windows = corpus.windows("train", 64, np.arange(200))
    assert windows.shape == (200, 65)
    np.testing.assert_array_equal(windows[1:, 0], windows[:-1, -1])


def test_windows_come_in_any_order_asked_for(corpus: Corpus) -> None:
    index = [70, 3, 70, 31, 32]
    in_order = corpus.windows("train", 32, np.arange(71))
    np.testing.assert_array_equal(corpus.windows("train", 32, index), in_order[index])


@pytest.mark.parametrize("context", [0, 3, 96, 2048])
def test_a_context_that_does_not_divide_a_row_is_refused(corpus: Corpus, context: int) -> None:
    with pytest.raises(UserError, match=f"context length {context} doesn't divide {ROW}"):
        corpus.n_windows("train", context)


@pytest.mark.parametrize(
    ("vocab_size", "dtype"),
    [(256, np.uint8), (257, np.uint16), (65_536, np.uint16), (65_537, np.uint32)],
)
def test_the_integer_type_follows_the_vocabulary(vocab_size: int, dtype: type[np.generic]) -> None:
    assert token_dtype(vocab_size) is dtype


@pytest.mark.parametrize("lengths", [[5], [1025], [1024], [3000, 1, 1, 2000], [400] * 13, []])
def test_rows_overlap_by_one_and_leave_out_only_the_tail(lengths: list[int]) -> None:
    stream = np.arange(sum(lengths))
    rows = list(_rows(np.split(stream, np.cumsum(lengths)[:-1])))
    assert len(rows) == max(0, (len(stream) - 1) // ROW)
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(row, np.arange(i * ROW, (i + 1) * ROW + 1))


def test_splits_are_disjoint_and_cover_the_text(source_name: str) -> None:
    source = open_source(source_name)
    assert isinstance(source, TextSource)
    parts = {split: list(source.split(split)) for split in SPLITS}
    whole = [document.text for document in source.documents()]
    assert sorted(text for part in parts.values() for text in part) == sorted(whole)
    assert sum(map(len, map(set, parts.values()))) == len(set(whole))
    shares = {split: sum(map(len, part)) / sum(map(len, whole)) for split, part in parts.items()}
    assert 0.01 < shares["tune"] < 0.04
    assert 0.02 < shares["heldout"] < 0.08


def test_a_larger_text_moves_no_document_to_another_split() -> None:
    def splits(n: int) -> dict[str, str]:
        texts = [Document(str(i), f"text {i}") for i in range(n)]
        source = TextSource("s", "s", "", "", 1000, lambda: texts)
        return {text: split for split in SPLITS for text in source.split(split)}

    few, many = splits(300), splits(600)
    assert set(few.values()) == set(SPLITS)
    assert {text: many[text] for text in few} == few


def test_held_out_text_stops_growing_with_a_huge_corpus() -> None:
    texts = [Document(str(i), "") for i in range(20_000)]
    source = TextSource("s", "s", "", "", 10**9, lambda: texts)
    assert len(list(source.split("heldout"))) == pytest.approx(20_000 * 4e6 / 1e9, rel=0.5)


def test_a_source_keeps_its_own_split() -> None:
    texts = [Document(str(i), str(i), "heldout" if i < 5 else "train") for i in range(50)]
    source = TextSource("s", "s", "", "", 1000, lambda: texts)
    assert list(source.split("heldout")) == list("01234")
    assert len(list(source.split("train"))) == 45


def test_a_second_preparation_reads_the_cache(
    corpus: Corpus, source_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_corpus, "write", lambda *arguments: pytest.fail("tokenized again"))
    again = prepare(source_name, "bytes")
    assert again.spec == corpus.spec
    assert again.folder in {found.folder for found in prepared()}


def test_the_same_text_elsewhere_has_the_same_digest(corpus: Corpus, text_file: Path, tmp_path: Path) -> None:
    (tmp_path / text_file.name).write_bytes(text_file.read_bytes())
    other = prepare(f"text:{tmp_path}/*.txt", "bytes")
    assert other.spec.digest == corpus.spec.digest
    with (tmp_path / text_file.name).open("a") as file:
        file.write("\n\nOne more paragraph." * 100)
    assert prepare(f"text:{tmp_path}/*.txt", "bytes").spec.digest != corpus.spec.digest


def test_evaluation_windows_are_fixed_and_spread_evenly(corpus: Corpus) -> None:
    available = corpus.n_windows("heldout", 32)
    chosen = corpus.evaluation_windows("heldout", 32, 50)
    everything = corpus.windows("heldout", 32, np.arange(available))
    where = [int(np.flatnonzero((everything == window).all(axis=1))[0]) for window in chosen]
    gaps = np.diff(where)
    assert where[0] == 0
    assert set(gaps) <= {available // 50, available // 50 + 1}
    np.testing.assert_array_equal(chosen, corpus.evaluation_windows("heldout", 32, 50))


def test_too_many_evaluation_windows_are_refused_with_what_there_is(corpus: Corpus) -> None:
    available = corpus.n_windows("tune", 32)
    with pytest.raises(UserError, match=f"has {available} tune windows .* at most {available}"):
        corpus.evaluation_windows("tune", 32, available + 1)


@pytest.mark.parametrize("split", SPLITS)
def test_rows_are_what_tensorflow_datasets_reads(bpe_corpus: Corpus, split: Split) -> None:
    builder: Any = tfds.builder_from_directory(str(next(bpe_corpus.folder.glob("token_rows/*/1.0.0"))))
    rows = np.stack([record["tokens"] for record in builder.as_data_source(split=split)])
    ours = bpe_corpus.windows(split, ROW, np.arange(bpe_corpus.n_windows(split, ROW)))
    assert ours.dtype == rows.dtype == np.uint16
    np.testing.assert_array_equal(ours, rows)


def test_the_corpus_knows_what_ends_a_document(corpus: Corpus, bpe_corpus: Corpus, source_name: str) -> None:
    assert corpus.eos == 0
    assert bpe_corpus.eos == open_tokenizer(BPE, open_source(source_name)).eos
    documents = len(list(open_source(source_name).split("train")))
    for found in (corpus, bpe_corpus):
        separators = int((tokens_of(found, "train", ROW) == found.eos).sum())
        assert documents - ROW < separators <= documents
        assert separators > documents / 2


def test_a_corpus_of_another_version_is_named_and_not_listed(corpus: Corpus) -> None:
    old = corpus.folder.parent / "0123456789abcdef"
    old.mkdir()
    meta = json.loads((corpus.folder / META).read_text())
    (old / META).write_text(json.dumps(meta | {"format": "rows of 1024, 2"}))
    assert old not in {found.folder for found in prepared()}
    with pytest.raises(UserError, match="another version: isoflop data prepare"):
        load(old, corpus.spec)
    shutil.rmtree(old)


def test_text_has_no_known_floor(corpus: Corpus) -> None:
    assert corpus.floor(32) is None


def test_bpe_is_stored_and_reloaded_with_its_hash(bpe_corpus: Corpus, source_name: str, cache: Path) -> None:
    source = open_source(source_name)
    first, again = (open_tokenizer(BPE, source) for _ in range(2))
    assert first.digest == again.digest
    assert first.vocab_size == bpe_corpus.vocab_size == 320
    stored = next(cache.glob(f"tokenizers/{BPE}-*/tokenizer.json"))
    text = "Ritheto kalo mi.\n\n Ünïcode 🙂 \t"
    [ids] = first.encode([text])
    assert first.inner.decode(ids.tolist()) == text  # pyright: ignore[reportAttributeAccessIssue]  # of a Bpe
    assert first.eos not in ids
    stored.write_text(stored.read_text().replace("<|endoftext|>", "<|end|>"))
    with pytest.raises(UserError, match="is damaged: delete that folder"):
        open_tokenizer(BPE, source)
    stored.write_text(stored.read_text().replace("<|end|>", "<|endoftext|>"))


def test_bpe_rows_hold_the_encoded_text(bpe_corpus: Corpus, source_name: str) -> None:
    source = open_source(source_name)
    tokenizer = open_tokenizer(BPE, source)
    stream = np.concatenate(
        [np.append(ids, tokenizer.eos) for ids in tokenizer.encode(list(source.split("tune")))]
    )
    tokens = tokens_of(bpe_corpus, "tune", 128)
    assert bpe_corpus.dtype is np.uint16
    np.testing.assert_array_equal(tokens, stream[1 : len(tokens) + 1])
    assert (bpe_corpus.bytes_per_token or 0) > 1.3


def test_end_of_text_typed_in_a_text_ends_nothing(source_name: str) -> None:
    tokenizer = open_tokenizer(BPE, open_source(source_name))
    [ids] = tokenizer.encode(["before <|endoftext|> after"])
    assert tokenizer.eos not in ids


def test_a_zero_byte_ends_a_document_and_stands_in_none() -> None:
    [ids] = Bytes().encode(["a\0b"])
    assert ids.tolist() == [97, 98]


@pytest.mark.parametrize("name", ["gpt2", "bpe", "bpe-256", "bpe-99999", "bpe-x", ""])
def test_an_unknown_tokenizer_is_refused(name: str, source_name: str) -> None:
    with pytest.raises(UserError, match="tokenizer"):
        open_tokenizer(name, open_source(source_name))


def test_no_file_matches(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="matches no file"):
        open_source(f"text:{tmp_path}/*.txt")


def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 " * 10_000)
    with pytest.raises(UserError, match=r"latin\.txt is not UTF-8 text \(byte 3\)"):
        prepare(f"text:{tmp_path}/latin.txt", "bytes")


@pytest.mark.parametrize("n_bytes", [0, 500, 5000])
def test_too_little_text_is_refused_and_leaves_nothing(tmp_path: Path, cache: Path, n_bytes: int) -> None:
    (tmp_path / "few.txt").write_text(pseudo_english(n_bytes))
    before = set(cache.glob("corpora/*")) | set(cache.glob("corpora/.*"))
    with pytest.raises(UserError, match="too small"):
        prepare(f"text:{tmp_path}/few.txt", "bytes")
    assert set(cache.glob("corpora/*")) | set(cache.glob("corpora/.*")) == before


def test_an_unknown_dataset_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=f"unknown dataset 'imagenet': known are {', '.join(source_names())}"):
        open_source("imagenet")


def test_the_demos_text_is_english_unless_a_language_is_named() -> None:
    names = ("wiki-intro", "wiki-intro:fr", "wiki-intro:es")
    found = [open_source(name) for name in names]
    assert [source.name for source in found] == list(names)
    assert found[0].fingerprint == SHA256  # corpora that were prepared before are found again
    assert len({source.fingerprint for source in found}) == 3
    with pytest.raises(UserError, match=r"wiki-intro:de: has no introductions in 'de': take wiki-intro"):
        open_source("wiki-intro:de")


@pytest.mark.slow
def test_the_demos_text_is_what_it_was() -> None:
    try:
        corpus = prepare("wiki-intro", "bytes")
    except UserError as error:
        lacking("wiki-intro", str(error))
    assert corpus.n_tokens("train") > 4_500_000
    assert corpus.n_windows("heldout", 128) > 1024
    text = corpus.windows("train", 1024, [0])[0].tobytes().decode(errors="ignore")
    assert " the " in text


@pytest.mark.parametrize("split", SPLITS)
def test_frequencies_are_those_of_the_splits_tokens(corpus: Corpus, split: Split) -> None:
    counts = np.bincount(tokens_of(corpus, split, ROW), minlength=256)
    found = corpus.frequencies(split)
    assert found is not None
    np.testing.assert_allclose(found, counts / counts.sum(), rtol=1e-12)


def test_the_baseline_is_the_cross_entropy_of_frequencies(corpus: Corpus) -> None:
    training = np.bincount(tokens_of(corpus, "train", ROW), minlength=256) / corpus.n_tokens("train")
    targets = tokens_of(corpus, "heldout", ROW)
    assert corpus.baseline_loss == pytest.approx(-np.log(training[targets]).mean(), rel=1e-3)
    assert corpus.baseline_loss < np.log(256)


def test_the_baseline_of_made_up_ids_is_that_of_all_alike() -> None:
    assert prepare("synthetic:markov,vocab=64", "bytes").baseline_loss == pytest.approx(np.log(64))


def lines(count: int) -> str:
    """So many lines of made-up English, and none blank."""
    words = 20 * pseudo_english(4 * count).split()
    return "\n".join(" ".join(words[i : i + 12]) for i in range(0, 12 * count, 12))


WITHOUT_BLANK_LINES = {
    "lines": {"a.txt": lines(40_000)},
    "one line": {"a.txt": lines(8_000).replace("\n", " ")},
    "no spaces": {"a.txt": lines(4_000).replace("\n", "").replace(" ", "")},
    "few big files": {f"{i}.txt": lines(8_000) for i in range(5)},
    "many files": {f"{i}.txt": lines(500) for i in range(20)},
    "a small file": {"a.txt": lines(1_600)},
    "few paragraphs": {"a.txt": "\n\n".join(lines(60) for _ in range(40))},
}


@pytest.mark.parametrize("files", WITHOUT_BLANK_LINES.values(), ids=WITHOUT_BLANK_LINES.keys())
def test_text_without_blank_lines_is_split(files: dict[str, str], tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    source = open_source(f"text:{tmp_path}/*.txt")
    parts = {split: list(source.split(split)) for split in SPLITS}
    sizes = {split: sum(map(len, texts)) for split, texts in parts.items()}
    assert 0.015 < sizes["heldout"] / sum(sizes.values()) < 0.08
    assert 0.005 < sizes["tune"] / sum(sizes.values()) < 0.045
    whole = sorted(" ".join(files.values()).split())
    if len(whole) > 1:  # cut between words, and nothing lost
        assert sorted(" ".join(t for texts in parts.values() for t in texts).split()) == whole
    assert prepare(source.name, "bytes").n_tokens("heldout") >= ROW


def test_text_with_blank_lines_is_the_corpus_that_it_always_was(corpus: Corpus, tmp_path: Path) -> None:
    """A digest of the token rows of made-up text, as of the first version of this rule."""
    (tmp_path / "words.txt").write_text(pseudo_english(300_000))
    assert prepare(f"text:{tmp_path}/words.txt", "bytes").spec.digest == corpus.spec.digest == GOLDEN_DIGEST


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lines(100).encode(), r"is too small: it has about [\d,]+ tokens in all, and its \w+ split has"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is not UTF-8 text (byte 0): convert it first"),
        (lines(2_000).encode("utf-16"), "is not UTF-8 text (byte 0)"),
        (lines(2_000).encode("utf-16-le"), "is no text: it holds zero bytes"),
        (b"\n \n" * 9, "it holds no text"),
        (b"", "it holds no text"),
    ],
)
def test_a_file_that_makes_no_corpus_is_refused_for_its_own_reason(
    content: bytes, why: str, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(UserError) as caught:
        prepare(f"text:{tmp_path}/a.txt", "bytes")
    assert why in str(caught.value) or re.search(why, str(caught.value))
    assert "\n" not in str(caught.value)


def test_a_folder_and_nothing_are_no_glob(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is a folder: name its files, as in text:.*/\*\*/\*\.txt"):
        open_source(f"text:{tmp_path}")
    with pytest.raises(UserError, match="which files"):
        open_source("text:")
    with pytest.raises(UserError, match="matches no file"):
        open_source(f"text:{tmp_path}/*.md")


def test_few_large_documents_are_named_as_the_reason(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from isoflop.train.data.sources import Document, TextSource\n"
        "def open_source(argument):\n"
        "    documents = [Document(str(i), 99_999 * 'x') for i in (1, 2)]\n"
        "    return TextSource('m', 'M', '', 'm', 9, lambda: documents)\n"
    )
    with pytest.raises(UserError, match="can't be split: of its 2 documents, the largest 50% of the text"):
        prepare(str(tmp_path / "mine.py"), "bytes")
