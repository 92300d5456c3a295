"""Corpora of one tokenizer mixed by weight."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoflop.train.data.corpus import Corpus, load, prepared_folder
from isoflop.train.data.order import arranged
from isoflop.train.data.sources import Text
from isoflop.train.spec import DataSpec, Split

if TYPE_CHECKING:
    from isoflop.train.data.sources.mix import MixSource


@dataclass(frozen=True, eq=False)
class MixedCorpus(Corpus):
    """Corpora drawn from by weight. A window's index counts through all parts, one after the other.

    `parts`: source, and folder beside this one's. Every block of sum(weights) training windows draws exactly
    weights[i] from part i; within a part every pass is a permutation.
    """

    parts: list[list[str]]
    weights: list[int]

    def n_tokens(self, split: Split) -> int:
        """Tokens that can be drawn, to within a block, before some part must repeat."""
        tokens = [c.n_tokens(split) for c in self.corpora]
        return min(n * sum(self.weights) // w for n, w in zip(tokens, self.weights, strict=True))

    def n_windows(self, split: Split, context: int) -> int:
        """Windows of all parts."""
        return sum(c.n_windows(split, context) for c in self.corpora)

    def windows(self, split: Split, context: int, index: Sequence[int] | NDArray[Any]) -> NDArray[Any]:
        """Windows (len(index), context + 1), each of one part."""
        offsets = self._offsets(split, context)
        index = np.asarray(index, dtype=np.int64)
        part_of = np.searchsorted(offsets, index, side="right") - 1
        windows = np.empty((len(index), context + 1), self.dtype)
        for i in np.unique(part_of):
            here = part_of == i
            windows[here] = self.corpora[i].windows(split, context, index[here] - offsets[i])
        return windows

    def evaluation_windows(self, split: Split, context: int, count: int) -> NDArray[Any]:
        """`count` fixed windows, of each part as many as its weight says, to within one."""
        shares = self._shares(count)
        return np.concatenate(
            [c.evaluation_windows(split, context, n).astype(self.dtype) for c, n in shares if n]
        )

    def require_windows(self, split: Split, context: int, count: int) -> None:
        """Raises `UserError` for a part that has fewer than its share of `count` windows."""
        for corpus, n in self._shares(count):
            corpus.require_windows(split, context, n)

    def _shares(self, count: int) -> list[tuple[Corpus, int]]:
        edges = np.round(np.cumsum([0, *self.weights]) * count / sum(self.weights)).astype(int)
        return list(zip(self.corpora, np.diff(edges).tolist(), strict=True))

    def draw(self, seed: int, start: int, stop: int, context: int) -> NDArray[np.int64]:
        """Indices (stop - start,): from each part what it would give alone, in the blocks' arrangement."""
        part_of, before = arranged(seed, start, stop, self.weights)
        index = np.empty(stop - start, dtype=np.int64)
        for i, (corpus, offset) in enumerate(zip(self.corpora, self._offsets("train", context), strict=True)):
            here = part_of == i
            first = int(before[i])
            index[here] = offset + corpus.draw(seed, first, first + int(here.sum()), context)
        return index

    def frequencies(self, split: Split) -> NDArray[np.float64] | None:
        """Those of the parts, by weight; None where a part has none, or ids of its own."""
        parts = [c.frequencies(split) for c in self.corpora]
        known = [part for part in parts if part is not None and len(part) == self.vocab_size]
        return np.average(known, axis=0, weights=self.weights) if len(known) == len(parts) else None

    @property
    def bytes_per_token(self) -> float | None:
        """Bytes of text a token stands for in the held-out windows; None where a part has no text."""
        parts = [c.bytes_per_token for c in self.corpora]
        if any(b is None for b in parts):
            return None
        return float(np.average(np.array(parts, dtype=float), weights=self.weights))

    @cached_property
    def corpora(self) -> list[Corpus]:
        """The parts."""
        return [
            load(self.folder.parent / key, DataSpec(source, self.spec.tokenizer, ""))
            for source, key in self.parts
        ]

    def _offsets(self, split: Split, context: int) -> NDArray[np.int64]:
        """Where each part's indices begin (parts,)."""
        sizes = [c.n_windows(split, context) for c in self.corpora]
        return np.cumsum([0, *sizes[:-1]], dtype=np.int64)


CORPUS = MixedCorpus


def write(source: MixSource, tokenizer_name: str, learnt_from: Text, folder: Path) -> dict[str, Any]:
    """Prepares the parts under one tokenizer, in folders of their own; returns what `MixedCorpus` holds."""
    folders = [prepared_folder(part, tokenizer_name, learnt_from) for part in source.sources]
    corpora = [
        load(path, DataSpec(part.name, tokenizer_name, ""))
        for path, part in zip(folders, source.sources, strict=True)
    ]
    separators = {corpus.eos for corpus in corpora}
    digests = [corpus.spec.digest for corpus in corpora]
    return {
        "vocab_size": max(corpus.vocab_size for corpus in corpora),
        "eos": separators.pop() if len(separators) == 1 else None,
        "parts": [[part.name, path.name] for part, path in zip(source.sources, folders, strict=True)],
        "weights": list(source.weights),
        "digest": hashlib.sha256(f"{digests} {source.weights}".encode()).hexdigest()[:16],
    }
