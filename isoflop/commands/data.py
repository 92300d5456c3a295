"""isoflop data"""

from __future__ import annotations

from dataclasses import dataclass

import tyro
from rich.console import Console

from isoflop.arguments import parse
from models.errors import UserError


@dataclass(frozen=True)
class Prepare:
    """Downloads a dataset and tokenizes it into the cache."""

    name: tyro.conf.Positional[str]
    """NAME, tfds:NAME[/CONFIG][:VERSION][#FEATURE], or text:GLOB."""
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
    from train.corpus import prepare

    corpus = prepare(arguments.name, arguments.tokenizer)
    print(f"{corpus.title} ({corpus.licence}), tokenizer {corpus.spec.tokenizer} of {corpus.vocab_size} ids")
    for split in corpus.rows:
        print(f"  {split:<8} {corpus.n_tokens(split):>14,} tokens")
    print(
        f"  {corpus.bytes_per_token:.3f} bytes a token; {corpus.disk_bytes / 1e6:.1f} MB in {corpus.folder}"
    )
    return 0


def _list() -> int:
    from train.cache import cache_dir
    from train.corpus import prepared
    from train.sources import source_names

    console = Console(highlight=False)
    console.print("datasets:   wiki-intro, tfds:NAME, text:GLOB" if source_names() else "", end="\n")
    console.print("tokenizers: bytes, bpe-SIZE")
    console.print(f"prepared in {cache_dir('corpora')}:")
    for corpus in prepared():
        tokens = sum(corpus.n_tokens(split) for split in corpus.rows)
        console.print(
            f"  {corpus.spec.source:<24} {corpus.spec.tokenizer:<9} {tokens:>12,} tokens "
            f"{corpus.disk_bytes / 1e6:>7.1f} MB  {corpus.licence}"
        )
    return 0
