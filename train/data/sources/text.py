"""Text files by a glob: `text:books/*.txt`, UTF-8; documents are 16 paragraphs, or shorter where need be."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from isoflop.base.errors import UserError
from isoflop.train.data.row_corpus import ROW
from isoflop.train.data.sources import Document, TextSource

PARAGRAPHS = 16
"""A file is cut into documents of this many paragraphs, so that few large files still give three splits."""

LONG_PARAGRAPH, LONG_SHARE = 8192, 0.001
"""Characters, and share of the corpus, beyond which a paragraph is text without blank lines."""

PIECE_SHARE, PIECES = 0.001, (256, 65_536)
"""The longest document where text has to be cut further: a share of the corpus, within these characters."""

SEPARATORS = ("\n\n", "\n", " ")
"""Where text is cut: at the first of these that leaves pieces that are short enough."""


def open_source(argument: str) -> TextSource:
    """The files that the glob `argument` matches (`**` matches folders)."""
    paths = _paths(argument)
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(_bytes(path)).digest())
    n_bytes = sum(path.stat().st_size for path in paths)

    def source(documents: Callable[[], Iterator[Document]]) -> TextSource:
        return TextSource(
            name=f"text:{argument}",
            title=f"{len(paths)} text file{'s' if len(paths) > 1 else ''}",
            licence="as the files say",
            fingerprint=digest.hexdigest(),
            n_bytes=n_bytes,
            documents=documents,
        )

    natural = source(lambda: _documents(paths, n_bytes))

    @cache
    def gives_all_splits() -> bool:
        return all(_has_row(natural.split(split)) for split in ("heldout", "tune"))

    return source(lambda: iter(natural.documents() if gives_all_splits() else _pieces(paths, n_bytes)))


def _paths(argument: str) -> list[Path]:
    if not argument:
        raise UserError("dataset text: which files? Write text:GLOB, for example text:books/*.txt")
    pattern = os.path.expanduser(argument)  # noqa: PTH111  # a glob is no path
    paths = sorted(Path(p) for p in glob.iglob(pattern, recursive=True) if Path(p).is_file())
    if not paths and Path(pattern).is_dir():
        files = f"text:{argument.rstrip('/')}/**/*.txt"
        raise UserError(f"dataset text:{argument} is a folder: name its files, as in {files}")
    if not paths:
        raise UserError(f"dataset text:{argument} matches no file: check the path and quote the glob")
    return paths


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from error


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}): convert it first") from error
    if "\0" in text[:LONG_PARAGRAPH]:
        raise UserError(f"{path} is no text: it holds zero bytes: leave it out, or convert it first")
    return text


def _documents(paths: list[Path], n_bytes: int) -> Iterator[Document]:
    """Sixteen paragraphs each; of text without blank lines, pieces."""
    longest = max(LONG_PARAGRAPH, LONG_SHARE * n_bytes)
    for number, path in enumerate(paths):
        paragraphs = _text(path).split("\n\n")
        for start in range(0, len(paragraphs), PARAGRAPHS):
            some = paragraphs[start : start + PARAGRAPHS]
            text, key = "\n\n".join(some), f"{number}/{path.name}/{start}"
            if any(len(paragraph) > longest for paragraph in some):
                yield from _cut_document(key, text, n_bytes)
            elif text.strip():
                yield Document(key, text)


def _pieces(paths: list[Path], n_bytes: int) -> Iterator[Document]:
    for number, path in enumerate(paths):
        yield from _cut_document(f"{number}/{path.name}", _text(path), n_bytes)


def _cut_document(key: str, text: str, n_bytes: int) -> Iterator[Document]:
    size = min(max(round(PIECE_SHARE * n_bytes), PIECES[0]), PIECES[1])
    start = 0
    while start < len(text):
        stop = _cut(text, start, size)
        if text[start:stop].strip():
            yield Document(f"{key}/{start}", text[start:stop])
        start = stop


def _cut(text: str, start: int, size: int) -> int:
    """Where a piece of at most `size` characters ends: past the last separator in its second half."""
    if len(text) - start <= size:
        return len(text)
    for separator in SEPARATORS:
        at = text.rfind(separator, start + size // 2, start + size)
        if at >= 0:
            return at + len(separator)
    return start + size


def _has_row(texts: Iterator[str]) -> bool:
    """Whether the texts hold more than a row of bytes."""
    size = 0
    for text in texts:
        size += len(text.encode()) + 1
        if size > ROW:
            return True
    return False
