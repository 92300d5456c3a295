"""Another text, some training documents spoilt: `damaged:noise=0.25:wiki-intro`, or shuffle, duplicates.

`noise`: a document's characters in random order, so that only their frequencies are left to learn.
`shuffle`: its words in random order. `duplicates`: a copy of one of a hundredth of the documents in its
place, as in Hernandez et al. (2022), Scaling Laws and Interpretability of Learning from Repeated Data, where
a small part of the text comes again and again.

A document's key decides whether it is spoilt, and how: a text is the same whenever it is prepared, and what
is spoilt at one share is spoilt at every larger one. Documents for tuning and held-out ones stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random

from isoflop.base.errors import UserError
from isoflop.train.data import sources
from isoflop.train.data.sources import Document, TextSource, uniform_of

FORM = re.compile(r"([a-z]+)=(\d*\.?\d+):(.+)")

POOL_SHARE = 0.01
"""Share of the training documents of which duplicates are made."""


def open_source(argument: str) -> TextSource:
    """The text that `KIND=SHARE:SOURCE` names.

    Raises `UserError` for what can't be read so, and for a source that is no text of documents.
    """
    found = FORM.fullmatch(argument)
    if found is None:
        raise UserError(
            f"damaged:{argument} names no damaged text: write damaged:KIND=SHARE:SOURCE, as in "
            "damaged:noise=0.25:wiki-intro"
        )
    kind, share = found[1], float(found[2])
    if kind not in KINDS:
        raise UserError(f"damaged:{argument}: {kind} is no kind of damage: take one of {', '.join(KINDS)}")
    if not 0 < share <= 1:
        raise UserError(f"damaged:{argument}: the share of spoilt documents must be above 0 and at most 1")
    source = sources.open_source(found[3])
    if not isinstance(source, TextSource):
        raise UserError(
            f"damaged:{argument}: {source.name} has no documents of its own to spoil: name a text, "
            "and mix damaged texts as in mix:damaged:noise=0.25:wiki-intro=0.5+wiki-intro:fr=0.5"
        )
    return TextSource(
        name=f"damaged:{argument}",
        title=f"{source.title}, {share:.4g} of it {KINDS[kind][0]}",
        licence=source.licence,
        fingerprint=f"{source.fingerprint} damaged by {kind}={share}",
        n_bytes=source.n_bytes,
        documents=partial(_documents, source, kind, share),
    )


def _documents(source: TextSource, kind: str, share: float) -> Iterator[Document]:
    documents = [document._replace(split=source.split_of(document)) for document in source.documents()]
    training = [document for document in documents if document.split == "train"]
    pool = [document.text for document in training if uniform_of(f"pool {document.key}") < POOL_SHARE]
    spoil = KINDS[kind][1]
    for document in documents:
        if document.split == "train" and uniform_of(f"{kind} {document.key}") < share:
            # Of a seed, `Random.random` alone is promised to be the same in every version of Python.
            yield document._replace(text=spoil(document.text, Random(document.key).random, pool))
        else:
            yield document


Draw = Callable[[], float]


def _noise(text: str, draw: Draw, pool: Sequence[str]) -> str:
    return "".join(_in_random_order(text, draw))


def _shuffled(text: str, draw: Draw, pool: Sequence[str]) -> str:
    """The words in random order; what stands between them stays in its place."""
    parts = re.split(r"(\s+)", text)
    parts[::2] = _in_random_order(parts[::2], draw)
    return "".join(parts)


def _copied(text: str, draw: Draw, pool: Sequence[str]) -> str:
    return pool[int(draw() * len(pool))] if pool else text


def _in_random_order(items: Sequence[str], draw: Draw) -> list[str]:
    keys = [draw() for _ in items]
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__)]


KINDS: dict[str, tuple[str, Callable[[str, Draw, Sequence[str]], str]]] = {
    "noise": ("with its characters in random order", _noise),
    "shuffle": ("with its words in random order", _shuffled),
    "duplicates": ("copies of a hundredth of it", _copied),
}
"""By kind, what it makes of a document, in words and in fact."""
