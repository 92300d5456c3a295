"""A prepared corpus: token rows on disk, read through `tfds` data sources as windows of any context."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import UserError
from train.cache import cache_dir, new_folder
from train.sources import open_source
from train.spec import DataSpec, Split
from train.token_rows import ROW, SPLITS, TokenRows, token_dtype
from train.tokenizers import open_tokenizer

META = "corpus.json"
FORMAT = f"rows of {ROW}, 2"
"""Part of a corpus' name in the cache: another format is another corpus."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """One source under one tokenizer.

    Per split: `rows` of ROW tokens each, and the `text_bytes` and `text_tokens` they were cut from.
    """

    spec: DataSpec
    folder: Path
    title: str
    licence: str
    vocab_size: int
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

    @property
    def disk_bytes(self) -> int:
        """What the prepared rows take on disk."""
        return sum(f.stat().st_size for f in self.folder.rglob("*") if f.is_file())

    @property
    def dtype(self) -> type[np.unsignedinteger]:
        """The integer type of the token ids."""
        return token_dtype(self.vocab_size)

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
        records = self._sources[split].__getitems__(needed.tolist())
        rows = np.stack([record["tokens"] for record in records])
        column = (index % per_row)[:, None] * context + np.arange(context + 1)
        return rows[where[:, None], column]

    def evaluation_windows(self, split: Split, context: int, count: int) -> NDArray[Any]:
        """`count` fixed windows (count, context + 1), spread evenly over the split.

        Raises `UserError` for a split that has fewer.
        """
        available = self.n_windows(split, context)
        if available < count:
            raise UserError(
                f"{self.spec.source} has {available} {split} windows of {context} tokens, and {count} are "
                f"asked for: lower eval_windows to at most {available}, or take a larger corpus"
            )
        return self.windows(split, context, np.arange(count) * available // count)

    @cached_property
    def _sources(self) -> dict[Split, Any]:
        import tensorflow_datasets as tfds

        builder: Any = tfds.builder_from_directory(str(next(self.folder.glob("token_rows/*/1.0.0"))))
        return {split: builder.as_data_source(split=split) for split in SPLITS}


def prepare(source_name: str, tokenizer_name: str) -> Corpus:
    """The corpus of a source under a tokenizer: tokenized at the first call, read from the cache after.

    Raises `UserError` for unknown names, text that can't be had, or too little of it.
    """
    source = open_source(source_name)
    key = hashlib.sha256(f"{FORMAT} {source.fingerprint} {tokenizer_name}".encode()).hexdigest()[:16]
    folder = cache_dir("corpora") / key
    if not (folder / META).exists():
        tokenizer = open_tokenizer(tokenizer_name, source)
        logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS tells of every custom config as a warning
        with new_folder(folder) as scratch:
            _write(TokenRows(source, tokenizer, name=key, data_dir=scratch), scratch, source_name)
    return load(folder, DataSpec(source_name, tokenizer_name, digest=""))


def prepared() -> list[Corpus]:
    """The corpora in the cache, under the names they were first prepared by."""
    found = sorted(cache_dir("corpora").glob(f"*/{META}"))
    asked = [json.loads(path.read_text())["asked"] for path in found]
    return [load(path.parent, DataSpec(s, t, "")) for path, (s, t) in zip(found, asked, strict=True)]


@lru_cache(maxsize=2)
def load(folder: Path, spec: DataSpec) -> Corpus:
    """The corpus in `folder`, under the name it is asked for by; one object, so that it is read once."""
    meta = json.loads((folder / META).read_text())
    digest = meta.pop("digest")
    del meta["asked"]
    return Corpus(spec=DataSpec(spec.source, spec.tokenizer, digest), folder=folder, **meta)


def _write(builder: TokenRows, folder: Path, source_name: str) -> None:
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()
    rows = {split: builder.info.splits[split].num_examples for split in SPLITS}
    digest = hashlib.sha256(builder.tokenizer.digest.encode())
    prepared: Any = builder
    for split in SPLITS:
        source = prepared.as_data_source(split=split)
        for start in range(0, rows[split], 10_000):
            part = source.__getitems__(range(start, min(start + 10_000, rows[split])))
            digest.update(np.stack([record["tokens"] for record in part]).tobytes())
    meta = {
        "asked": [source_name, builder.tokenizer.name],
        "title": builder.source.title,
        "licence": builder.source.licence,
        "vocab_size": builder.tokenizer.vocab_size,
        "rows": rows,
        "text_bytes": builder.text_bytes,
        "text_tokens": builder.text_tokens,
        "digest": digest.hexdigest()[:16],
    }
    (folder / META).write_text(json.dumps(meta, indent=1))
