"""isoflop data"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import tyro
from rich.console import Console
from rich.table import Table

from isoflop.arguments import parse
from isoflop.base.errors import UserError

if TYPE_CHECKING:
    from isoflop.train.data.corpus import Corpus

FLOOR_CONTEXTS = (128, 1024)
"""A floor depends on how much of the past a window shows: it is stated for these, in tokens."""


@dataclass(frozen=True)
class Prepare:
    """Downloads a dataset and tokenizes it into the cache."""

    name: tyro.conf.Positional[str]
    """NAME or NAME:ARGUMENT, as `isoflop data list` shows them."""
    tokenizer: str = "bytes"
    """bytes, or bpe-SIZE."""


def run(argv: list[str]) -> int:
    """`list` or `prepare`."""
    if argv[:1] == ["prepare"]:
        return _prepare(parse(Prepare, argv[1:], "data prepare"))
    if argv[:1] == ["list"]:
        return _list()
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: isoflop data list\n       isoflop data prepare NAME [--tokenizer bytes|bpe-SIZE]")
        return 0
    raise UserError(f"unknown action {argv[0]!r}: isoflop data list, or isoflop data prepare NAME")


def _prepare(arguments: Prepare) -> int:
    from isoflop.train.data.corpus import prepare
    from isoflop.train.data.row_corpus import SPLITS

    corpus = prepare(arguments.name, arguments.tokenizer)
    print(f"{corpus.title} ({corpus.licence}), tokenizer {corpus.spec.tokenizer} of {corpus.vocab_size} ids")
    for split in SPLITS:
        print(f"  {split:<8} {corpus.n_tokens(split):>17,} tokens")
    if corpus.bytes_per_token is not None:
        print(f"  {corpus.bytes_per_token:.3f} bytes a token")
    for line in _floors(corpus):
        print(f"  {line}")
    print(f"  {corpus.disk_bytes / 1e6:.1f} MB in {corpus.folder}")
    return 0


def _floors(corpus: Corpus) -> list[str]:
    lines = []
    for context in FLOOR_CONTEXTS:
        try:
            floor = corpus.floor(context)
        except UserError as too_short:
            lines.append(str(too_short))
        else:
            if floor is not None:
                lines.append(f"no predictor's loss is below {floor:.6f} nats a token at context {context}")
    return lines


def _list() -> int:
    from isoflop.base.cache import cache_dir
    from isoflop.train.data.corpus import prepared
    from isoflop.train.data.sources import descriptions

    console = Console(highlight=False, markup=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, description in descriptions().items():
        table.add_row(name, description)
    console.print("datasets:", table, sep="\n")
    console.print("tokenizers: bytes, bpe-SIZE")
    console.print(f"prepared in {cache_dir('corpora')}:")
    for corpus in prepared():
        console.print(
            f"  {corpus.spec.source:<24} {corpus.spec.tokenizer:<9} {corpus.n_tokens('train'):>17,} training "
            f"tokens {corpus.disk_bytes / 1e6:>7.1f} MB  {corpus.licence}"
        )
    return 0
