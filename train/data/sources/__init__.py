"""Text by name: `NAME` or `NAME:ARGUMENT`, where NAME is a file in `train/data/sources/`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol

from isoflop.base import plugin_files, plugins
from isoflop.train.spec import Split

HELDOUT_SHARE, TUNE_SHARE = 0.04, 0.02
HELDOUT_BYTES = 4_000_000
"""Held-out text beyond this many bytes buys less precision than its loss to training costs."""


class Document(NamedTuple):
    """A text, the key that decides its split, and the split the source itself puts it in, if any.

    `held_out_elsewhere`: the source has held-out text of its own, so that this is for training or tuning.
    """

    key: str
    text: str
    split: Split | None = None
    held_out_elsewhere: bool = False


class Text(Protocol):
    """What a tokenizer can be trained on. `fingerprint` changes whenever the text does."""

    @property
    def fingerprint(self) -> str: ...

    def split(self, split: Split) -> Iterator[str]:
        """The texts of one split."""
        ...


class Source(Text, Protocol):
    """What a corpus can be prepared from; `kind` is one of `isoflop.train.data.corpus.KINDS`."""

    kind: ClassVar[str]

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def licence(self) -> str: ...


@dataclass(frozen=True)
class TextSource:
    """A corpus as text. `fingerprint` changes whenever the text does; `n_bytes` is about its size."""

    kind: ClassVar[str] = "rows"
    name: str
    title: str
    licence: str
    fingerprint: str
    n_bytes: int
    documents: Callable[[], Iterable[Document]]

    def split(self, split: Split) -> Iterator[str]:
        """The texts of one split."""
        for document in self.documents():
            if self.split_of(document) == split:
                yield document.text

    def split_of(self, document: Document) -> Split:
        """The split of a document: the source's own where it has them, else by a hash of the key."""
        if document.split:
            return document.split
        scale = min(1.0, HELDOUT_BYTES / HELDOUT_SHARE / max(self.n_bytes, 1))
        draw = uniform_of(document.key)
        if draw < HELDOUT_SHARE * scale:
            return "train" if document.held_out_elsewhere else "heldout"
        return "tune" if draw < (HELDOUT_SHARE + TUNE_SHARE) * scale else "train"


def uniform_of(key: str) -> float:
    """A number in [0, 1) that a key decides, uniform over keys."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def source_names() -> list[str]:
    """Names of the sources that `train/data/sources/` holds."""
    return [name.replace("_", "-") for name in plugins.names("isoflop.train.data.sources", "open_source")]


def descriptions() -> dict[str, str]:
    """By name, the first line of what each of those files says of itself."""
    names = source_names()
    documented: list[Any] = [
        plugins.load("isoflop.train.data.sources", "open_source", name, "dataset") for name in names
    ]
    return {name: module.__doc__.splitlines()[0] for name, module in zip(names, documented, strict=True)}


def open_source(name: str) -> Source:
    """The source that `name` names. Raises `UserError` for an unknown one or one that can't be had."""
    plugin, _, argument = name.partition(":")
    source = plugins.load("isoflop.train.data.sources", "open_source", plugin, "dataset").open_source(
        argument
    )
    if plugin.endswith(".py") and isinstance(source, TextSource):  # its code may change
        code = plugin_files.content_id(plugin, "dataset")
        source = replace(source, fingerprint=f"{source.fingerprint} by {code}")
    return source
