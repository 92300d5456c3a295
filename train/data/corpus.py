"""A prepared corpus: windows of tokens by number, and the order in which training takes them."""

from __future__ import annotations

import hashlib
import importlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from isoflop.base.cache import cache_dir
from isoflop.base.durable import new_folder
from isoflop.base.errors import UserError
from isoflop.train.data.order import repeated
from isoflop.train.data.sources import Source, Text, open_source
from isoflop.train.data.tokenizers import tokenizer_identity
from isoflop.train.spec import DataSpec, Split

META = "corpus.json"
FORMAT = "rows of 1024, 3"
"""Part of a corpus' name in the cache: another format is another corpus."""

UNSEEN_SHARE = 1e-4
"""What `baseline_loss` gives to all tokens alike, so that one that training lacks costs a finite loss."""

KINDS = {
    "rows": "isoflop.train.data.row_corpus",
    "synthetic": "isoflop.train.data.synthetic_corpus",
    "mix": "isoflop.train.data.mixed_corpus",
}
"""By kind, the module whose `write` prepares a corpus of it and whose `CORPUS` reads it back."""


@dataclass(frozen=True, eq=False)
class Corpus(ABC):
    """One source under one tokenizer. `eos`: the id that ends each document, None where there are none."""

    spec: DataSpec
    folder: Path
    title: str
    licence: str
    vocab_size: int
    eos: int | None

    @abstractmethod
    def n_tokens(self, split: Split) -> int:
        """Tokens that can be drawn from the split before any comes again."""

    @abstractmethod
    def n_windows(self, split: Split, context: int) -> int:
        """Windows of `context` targets that the split has. Raises `UserError` for a context it can't give."""

    @abstractmethod
    def windows(self, split: Split, context: int, index: Sequence[int] | NDArray[Any]) -> NDArray[Any]:
        """Windows (len(index), context + 1): inputs are all but the last token, targets all but the first."""

    @property
    def made_on_device(self) -> bool:
        """Whether windows are computed on the device when asked for, and read from nowhere."""
        return False

    def on_device(self, split: Split, context: int, index: NDArray[np.int64]) -> jax.Array:
        """The same windows on the default device."""
        return jnp.asarray(self.windows(split, context, index))

    @abstractmethod
    def draw(self, seed: int, start: int, stop: int, context: int) -> NDArray[np.int64]:
        """Indices (stop - start,) of the training windows drawn `start`-th to `stop`-th: a pure function."""

    @property
    @abstractmethod
    def bytes_per_token(self) -> float | None:
        """Bytes of text a token stands for, on the held-out split; None where tokens stand for no text."""

    def floor(self, context: int) -> float | None:
        """The least expected loss of any predictor, nats per target of a window; None where nobody knows."""
        return None

    def frequencies(self, split: Split) -> NDArray[np.float64] | None:
        """How often each token comes in the split (vocab_size,), summing to 1; None where nobody counts."""
        return None

    @cached_property
    def baseline_loss(self) -> float:
        """The held-out loss, nats per token, of a predictor that knows no context: each token by its
        frequency in the training split; where frequencies aren't known, all tokens alike."""
        training, heldout = self.frequencies("train"), self.frequencies("heldout")
        if training is None or heldout is None:
            return math.log(self.vocab_size)
        unseen = UNSEEN_SHARE / self.vocab_size
        return min(
            -float(heldout @ np.log((1 - UNSEEN_SHARE) * training + unseen)), math.log(self.vocab_size)
        )

    def order(
        self,
        seed: int,
        start: int,
        stop: int,
        *,
        batch_size: int,
        context: int,
        unique_windows: int | None = None,
    ) -> NDArray[np.int64]:
        """Indices (stop - start, batch_size) of the training windows of steps `start` to `stop`; of them the
        first `unique_windows` are repeated, if given."""
        first, last = start * batch_size, stop * batch_size
        if unique_windows is None:
            drawn = self.draw(seed, first, last, context)
        else:
            unique = _first_draws(self, seed, context, unique_windows)
            drawn = unique[repeated(seed, first, last, unique_windows)]
        return drawn.reshape(stop - start, batch_size)

    def evaluation_windows(self, split: Split, context: int, count: int) -> NDArray[Any]:
        """`count` fixed windows (count, context + 1), spread evenly over the split.

        Raises `UserError` for a split that has fewer.
        """
        self.require_windows(split, context, count)
        return self.windows(split, context, np.arange(count) * self.n_windows(split, context) // count)

    def require_windows(self, split: Split, context: int, count: int) -> None:
        """Raises `UserError` for a split that has fewer than `count` windows."""
        available = self.n_windows(split, context)
        if available < count:
            raise UserError(
                f"{self.spec.source} has {available} {split} windows of {context} tokens, and {count} are "
                f"asked for: lower eval_windows to at most {available}, or take a larger corpus"
            )

    @property
    def dtype(self) -> type[np.unsignedinteger]:
        """The integer type of the token ids."""
        return token_dtype(self.vocab_size)

    @property
    def disk_bytes(self) -> int:
        """What the prepared corpus takes on disk."""
        return sum(f.stat().st_size for f in self.folder.rglob("*") if f.is_file())


@lru_cache(maxsize=8)
def _first_draws(corpus: Corpus, seed: int, context: int, count: int) -> NDArray[np.int64]:
    return corpus.draw(seed, 0, count, context)


def token_dtype(vocab_size: int) -> type[np.unsignedinteger]:
    """The smallest unsigned integer that holds every id."""
    return next(t for t in (np.uint8, np.uint16, np.uint32) if vocab_size <= np.iinfo(t).max + 1)


def prepare(source_name: str, tokenizer_name: str, learnt_from: str | None = None) -> Corpus:
    """The corpus of a source under a tokenizer: prepared at the first call, read from the cache after.

    `learnt_from`: the source that a BPE was trained on, if that is another.

    Raises `UserError` for unknown names, text that can't be had, or too little of it.
    """
    source = open_source(source_name)
    folder = prepared_folder(source, tokenizer_name, open_source(learnt_from) if learnt_from else source)
    corpus = load(folder, DataSpec(source_name, tokenizer_name, ""))
    _ = corpus.baseline_loss  # counted here, once, and not by every worker
    return corpus


def prepared_folder(source: Source, tokenizer_name: str, learnt_from: Text) -> Path:
    """The folder of a source's corpus, written if need be; a BPE is trained on the text `learnt_from`."""
    identity = tokenizer_identity(tokenizer_name, learnt_from)
    key = hashlib.sha256(f"{FORMAT} {source.fingerprint} {identity}".encode()).hexdigest()[:16]
    folder = cache_dir("corpora") / key
    if not (folder / META).exists():
        with new_folder(folder) as scratch:
            common = {"format": FORMAT, "kind": source.kind, "asked": [source.name, tokenizer_name]}
            about = {"title": source.title, "licence": source.licence}
            own = importlib.import_module(KINDS[source.kind]).write(
                source, tokenizer_name, learnt_from, scratch
            )
            (scratch / META).write_text(json.dumps(common | about | own, indent=1))
    return folder


def prepared() -> list[Corpus]:
    """The corpora in the cache, under the names they were first prepared by."""
    found = sorted(cache_dir("corpora").glob(f"*/{META}"))
    metas = [json.loads(path.read_text()) for path in found]
    return [
        load(path.parent, DataSpec(meta["asked"][0], meta["asked"][1], ""))
        for path, meta in zip(found, metas, strict=True)
        if meta.get("format") == FORMAT
    ]


@lru_cache(maxsize=8)
def load(folder: Path, spec: DataSpec) -> Corpus:
    """The corpus in `folder`, under the name it is asked for by; one object, so that it is read once.

    Raises `UserError` for a folder of another version's.
    """
    meta = json.loads((folder / META).read_text())
    if meta.pop("format", None) != FORMAT:
        raise UserError(f"{folder} holds a corpus of another version: isoflop data prepare {spec.source}")
    del meta["asked"]
    cls = importlib.import_module(KINDS[meta.pop("kind")]).CORPUS
    return cls(spec=DataSpec(spec.source, spec.tokenizer, meta.pop("digest")), folder=folder, **meta)
