"""Text files by a glob: `text:books/*.txt`, one document a file, UTF-8."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator
from pathlib import Path

from isoflop.base.errors import UserError
from isoflop.train.sources import Document, TextSource

PARAGRAPHS = 16
"""A file is cut into documents of this many paragraphs, so that few large files still give three splits."""


def open_source(argument: str) -> TextSource:
    """The files that the glob `argument` matches (`**` matches folders)."""
    paths = sorted(Path(p) for p in glob.iglob(argument, recursive=True) if Path(p).is_file())
    if not paths:
        raise UserError(f"dataset text:{argument} matches no file: check the path and quote the glob")
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return TextSource(
        name=f"text:{argument}",
        title=f"{len(paths)} text file{'s' if len(paths) > 1 else ''}",
        licence="as the files say",
        fingerprint=digest.hexdigest(),
        n_bytes=sum(path.stat().st_size for path in paths),
        documents=lambda: _documents(paths),
    )


def _documents(paths: list[Path]) -> Iterator[Document]:
    for number, path in enumerate(paths):
        try:
            paragraphs = path.read_text(encoding="utf-8").split("\n\n")
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not UTF-8 text (byte {error.start}): convert it first") from error
        for start in range(0, len(paragraphs), PARAGRAPHS):
            text = "\n\n".join(paragraphs[start : start + PARAGRAPHS])
            if text.strip():
                yield Document(key=f"{number}/{path.name}/{start}", text=text)
