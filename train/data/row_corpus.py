"""A corpus of text: token rows on disk, written by TensorFlow Datasets, read as windows of any context."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.base import durable
from isoflop.base.errors import UserError
from isoflop.train.data.corpus import Corpus
from isoflop.train.data.order import passes
from isoflop.train.data.sources import Text, TextSource
from isoflop.train.data.token_rows import ROW, SPLITS, TokenRows
from isoflop.train.data.tokenizers import open_tokenizer
from isoflop.train.spec import Split

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
        """Of at most COUNTED_ROWS rows, spread evenly; counted once, and kept beside the rows."""
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
        import tensorflow_datasets as tfds

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
    import tensorflow_datasets as tfds

    tokenizer = open_tokenizer(tokenizer_name, learnt_from)
    logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS tells of every custom config as a warning
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
