"""A corpus of text: tokenized once into rows of array_record by TensorFlow Datasets, read as windows.

A row holds ROW + 1 tokens and starts with the last token of the row before, so that every context length
that divides ROW gives windows of inputs and targets in which each token is predicted exactly once.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from numpy.typing import NDArray

from isoflop.base import durable
from isoflop.base.errors import UserError
from isoflop.train.data.corpus import Corpus, token_dtype
from isoflop.train.data.order import passes
from isoflop.train.data.sources import Text, TextSource
from isoflop.train.data.tokenizers import Tokenizer, open_tokenizer
from isoflop.train.spec import Split

ROW = 1024
"""Targets of a row: what every context length divides."""

SPLITS: tuple[Split, ...] = ("train", "tune", "heldout")
NEEDED_TOKENS = 100_000
"""A corpus of this many tokens gives each split a row, most likely: the smallest has 2% of the documents."""

BATCH = 1000
"""Documents tokenized at a time."""

COUNTED_ROWS, READ_ROWS = 20_000, 1_000
"""Rows whose tokens are counted, 20 million tokens, and those read at a time."""


@dataclass(frozen=True, eq=False)
class RowCorpus(Corpus):
    """Per split: `rows` of ROW tokens each, and the `text_bytes` and `text_tokens` they were cut from."""

    rows: dict[Split, int]
    text_bytes: dict[Split, int]
    text_tokens: dict[Split, int]

    def n_tokens(self, split: Split) -> int:
        """Tokens of the split."""
        return self.rows[split] * ROW

    @property
    def bytes_per_token(self) -> float:
        """Bytes of text a token stands for, on the held-out split."""
        return self.text_bytes["heldout"] / self.text_tokens["heldout"]

    def n_windows(self, split: Split, context: int) -> int:
        """Windows of `context` tokens in the split. Raises `UserError` if `context` doesn't divide a row."""
        if context < 1 or ROW % context:
            raise UserError(f"context length {context} doesn't divide {ROW}: take a power of two up to {ROW}")
        return self.rows[split] * (ROW // context)

    def windows(self, split: Split, context: int, index: Sequence[int] | NDArray[Any]) -> NDArray[Any]:
        """Windows (len(index), context + 1): inputs are all but the last token, targets all but the first.

        Window i of a split is the i-th stretch of `context` targets in the corpus' order.
        """
        per_row = ROW // context
        index = np.asarray(index, dtype=np.int64)
        needed, where = np.unique(index // per_row, return_inverse=True)
        column = (index % per_row)[:, None] * context + np.arange(context + 1)
        return self._read(split, needed)[where[:, None], column]

    def frequencies(self, split: Split) -> NDArray[np.float64]:
        """Frequencies in at most COUNTED_ROWS rows, spread evenly; counted once, and kept beside the rows."""
        file = self.folder / f"frequencies-{split}.json"
        if not file.exists():
            count = min(self.rows[split], COUNTED_ROWS)
            rows = np.arange(count, dtype=np.int64) * self.rows[split] // count
            counts = np.zeros(self.vocab_size, dtype=np.int64)
            for part in np.array_split(rows, -(-count // READ_ROWS)):
                counts += np.bincount(self._read(split, part)[:, 1:].ravel(), minlength=self.vocab_size)
            durable.write(file, json.dumps(counts.tolist()))
        counts = np.array(json.loads(file.read_text()), dtype=np.float64)
        return counts / counts.sum()

    def draw(self, seed: int, start: int, stop: int, context: int) -> NDArray[np.int64]:
        """Indices (stop - start,): every pass over the corpus is a fresh permutation."""
        return passes(seed, start, stop, self.n_windows("train", context))

    @cached_property
    def _sources(self) -> dict[Split, Any]:
        builder: Any = tfds.builder_from_directory(str(next(self.folder.glob("token_rows/*/1.0.0"))))
        return {split: builder.as_data_source(split=split).data_source for split in SPLITS}

    def _read(self, split: Split, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Rows (len(rows), ROW + 1). A record is a serialized `tf.train.Example` that its one feature, raw
        bytes, ends: cutting it off is 4 times as fast as parsing each record."""
        records = b"".join(self._sources[split].__getitems__(rows.tolist()))
        size = (ROW + 1) * np.dtype(self.dtype).itemsize
        tails = np.frombuffer(records, np.uint8).reshape(len(rows), -1)[:, -size:]
        return np.ascontiguousarray(tails).view(self.dtype)


CORPUS = RowCorpus


def write(source: TextSource, tokenizer_name: str, learnt_from: Text, folder: Path) -> dict[str, Any]:
    """Tokenizes the source into rows in `folder`; returns what `RowCorpus` holds beside them."""
    tokenizer = open_tokenizer(tokenizer_name, learnt_from)
    logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS warns of every custom config
    builder = TokenRows(source, tokenizer, name=folder.name.strip("."), data_dir=folder)
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()
    rows: dict[Split, int] = {split: builder.info.splits[split].num_examples for split in SPLITS}
    return {
        "vocab_size": tokenizer.vocab_size,
        "eos": tokenizer.eos,
        "rows": rows,
        "text_bytes": builder.text_bytes,
        "text_tokens": builder.text_tokens,
        "digest": _digest(builder, rows),
    }


def _digest(builder: Any, rows: dict[Split, int]) -> str:
    digest = hashlib.sha256(builder.tokenizer.digest.encode())
    for split in SPLITS:
        source = builder.as_data_source(split=split)
        for start in range(0, rows[split], 10_000):
            part = source.__getitems__(range(start, min(start + 10_000, rows[split])))
            digest.update(np.stack([record["tokens"] for record in part]).tobytes())
    return digest.hexdigest()[:16]


class TokenRows(tfds.core.GeneratorBasedBuilder):
    """Feature `tokens`: (ROW + 1,) ids. Rows keep the corpus' order; a split's last part row is dropped."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, source: TextSource, tokenizer: Tokenizer, *, name: str, data_dir: Path) -> None:
        self.source, self.tokenizer = source, tokenizer
        self.text_bytes: dict[Split, int] = {}
        self.text_tokens: dict[Split, int] = {}
        config = tfds.core.BuilderConfig(name=name)
        super().__init__(config=config, data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        dtype = token_dtype(self.tokenizer.vocab_size)
        tokens = tfds.features.Tensor(shape=(ROW + 1,), dtype=dtype, encoding="bytes")
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.source.title,
            features=tfds.features.FeaturesDict({"tokens": tokens}),
            disable_shuffling=True,
            license=self.source.licence,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: Split) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        dtype = token_dtype(self.tokenizer.vocab_size)
        key = -1
        for key, row in enumerate(_rows(self._documents(split))):
            yield key, {"tokens": row.astype(dtype)}
        if key < 0:
            raise UserError(self._why_no_row(split))

    def _why_no_row(self, split: Split) -> str:
        """Why a split has no row: too little text in all, or too few documents to split."""
        sizes = [len(text.encode()) for each in SPLITS for text in self.source.split(each)]
        short = f"its {split} split has {self.text_tokens[split]:,} tokens and needs {ROW + 1:,}"
        if not sum(sizes):
            return f"dataset {self.source.name} is too small: it holds no text: check what it reads"
        per_token = sum(self.text_bytes.values()) / max(sum(self.text_tokens.values()), 1) or 1
        tokens = round(sum(sizes) / per_token)
        if tokens < NEEDED_TOKENS:
            return (
                f"dataset {self.source.name} is too small: it has about {tokens:,} tokens in all, and "
                f"{short}: take a larger corpus, about {NEEDED_TOKENS:,} tokens at least"
            )
        return (
            f"dataset {self.source.name} can't be split: of its {len(sizes):,} documents, the largest "
            f"{max(sizes) / sum(sizes):.0%} of the text, too few fall to the {split} split; {short}: "
            "give it more and shorter documents"
        )

    def _documents(self, split: Split) -> Iterator[NDArray[np.int64]]:
        self.text_bytes[split] = self.text_tokens[split] = 0
        for texts in _batched(self.source.split(split), BATCH):
            self.text_bytes[split] += sum(len(text.encode()) + 1 for text in texts)
            for ids in self.tokenizer.encode(texts):
                self.text_tokens[split] += len(ids) + 1
                yield np.append(ids, self.tokenizer.eos)


def _batched(texts: Iterator[str], size: int) -> Iterator[list[str]]:
    while batch := list(itertools.islice(texts, size)):  # itertools.batched is 3.12's
        yield batch


def _rows(documents: Iterable[NDArray[np.int64]]) -> Iterator[NDArray[np.int64]]:
    waiting: list[NDArray[np.int64]] = []
    size = 0
    for document in documents:
        waiting.append(document)
        size += len(document)
        if size > ROW:
            stream = np.concatenate(waiting)
            whole = (size - 1) // ROW
            for i in range(whole):
                yield stream[i * ROW : (i + 1) * ROW + 1]
            waiting, size = [stream[whole * ROW :]], size - whole * ROW
