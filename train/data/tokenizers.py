"""Tokenizers: raw bytes, or a byte-level BPE trained on the corpus' own training text."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from isoflop.base.cache import cache_dir
from isoflop.base.durable import new_folder
from isoflop.base.errors import UserError
from isoflop.train.data.sources import Text

END_OF_TEXT = "<|endoftext|>"
TRAINING_BYTES = 50_000_000
"""BPE merges are counted on at most this much text: more changes hardly any of them."""


class Tokenizer(Protocol):
    """Text to ids. `digest` names the mapping by content; `eos` ends each document."""

    @property
    def name(self) -> str: ...

    @property
    def vocab_size(self) -> int: ...

    @property
    def eos(self) -> int: ...

    @property
    def digest(self) -> str: ...

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Ids of each text, without `eos`."""
        ...


@dataclass(frozen=True)
class Bytes:
    """UTF-8 bytes; byte 0, which no text holds, ends a document."""

    name: str = "bytes"
    vocab_size: int = 256
    eos: int = 0
    digest: str = "bytes"

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        return [np.frombuffer(t.replace("\0", "").encode(), dtype=np.uint8).astype(np.int64) for t in texts]


@dataclass(frozen=True)
class Bpe:
    """A byte-level BPE of Hugging Face `tokenizers`."""

    name: str
    vocab_size: int
    eos: int
    digest: str
    inner: Any

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        encodings = self.inner.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.asarray(encoding.ids, dtype=np.int64) for encoding in encodings]


def tokenizer_identity(name: str, source: Text) -> str:
    """The name, and for one that is trained on the source, which text that is."""
    if name == "bytes":
        return name
    return f"{name}-{hashlib.sha256(source.fingerprint.encode()).hexdigest()[:16]}"


def open_tokenizer(name: str, source: Text) -> Tokenizer:
    """`bytes`, or `bpe-SIZE`: trained on `source` at the first call, stored with its hash, then read back.

    Raises `UserError` for another name or a size outside 300 to 65,536.
    """
    if name == "bytes":
        return Bytes()
    match = re.fullmatch(r"bpe-(\d+)", name)
    if not match:
        raise UserError(f"unknown tokenizer {name!r}: known are bytes and bpe-SIZE, as in bpe-4096")
    size = int(match[1])
    if not 300 <= size <= 65_536:
        raise UserError(f"tokenizer {name}: take a size from 300 to 65536 (256 is 'bytes')")
    return _load_or_train(name, size, source)


def _load_or_train(name: str, size: int, source: Text) -> Bpe:
    from tokenizers import Tokenizer as HfTokenizer

    folder = cache_dir("tokenizers") / tokenizer_identity(name, source)
    if not folder.exists():
        with new_folder(folder) as scratch:
            _train(size, source.split("train")).save(str(scratch / "tokenizer.json"))
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    inner = HfTokenizer.from_str(text)
    inner.encode_special_tokens = True  # a text that spells the end of text doesn't end there
    digest = hashlib.sha256(text.encode()).hexdigest()
    eos = inner.token_to_id(END_OF_TEXT)
    if eos is None:
        raise UserError(f"tokenizer file in {folder} is damaged: delete that folder and run again")
    return Bpe(name, inner.get_vocab_size(), eos, digest, inner)


def _train(size: int, texts: Iterable[str]) -> Any:
    from tokenizers import Tokenizer as HfTokenizer
    from tokenizers import decoders, models, pre_tokenizers, trainers

    tokenizer = HfTokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_up_to(texts, TRAINING_BYTES), trainer)
    return tokenizer


def _up_to(texts: Iterable[str], n_bytes: int) -> Iterator[str]:
    seen = 0
    for text in texts:
        if seen >= n_bytes:
            return
        seen += len(text)
        yield text
