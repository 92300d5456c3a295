"""Token rows: a corpus tokenized once into fixed rows of array_record, by TensorFlow Datasets.

A row holds ROW + 1 tokens and starts with the last token of the row before, so that every context length
that divides ROW gives windows of inputs and targets in which each token is predicted exactly once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from numpy.typing import NDArray

from isoflop.base.errors import UserError
from isoflop.train.data.corpus import token_dtype
from isoflop.train.data.sources import TextSource
from isoflop.train.data.tokenizers import Tokenizer
from isoflop.train.spec import Split

ROW = 1024
SPLITS: tuple[Split, ...] = ("train", "tune", "heldout")
NEEDED_TOKENS = 100_000
"""A corpus of this many tokens gives each split a row, most likely: the smallest has 2% of the documents."""

BATCH = 1000
"""Documents tokenized at a time."""


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
