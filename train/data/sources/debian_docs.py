"""English prose of Debian's documentation packages, by apt, never installed: `debian-docs[:small]`.

Handbooks, manuals, API guides and dictionaries, for sweeps that a laptop's corpus is too small for. Of a
package's pages the paragraphs that read as English are kept, each once in the whole corpus: no navigation,
no tables of numbers, no code. `debian-docs:small` is one package's, 11 MB.

The text is whatever versions the machine's apt gives; `manifest.json` beside it names them. Once extracted
it stays, and its hash is part of the prepared corpus' name. Stopped half-way, it goes on after the last
package that was finished.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from isoflop.base.cache import cache_dir
from isoflop.base.durable import new_folder
from isoflop.base.errors import UserError
from isoflop.train.data.fetching import announce, progress
from isoflop.train.data.prose import html_paragraphs, is_prose, text_paragraphs
from isoflop.train.data.sources import Document, TextSource

EDITION = 1
"""Part of the folder's name: raised by a change of the packages or of what is kept of them."""

FULL = """
anarchism dict-gcide dict-wn dict-foldoc dict-jargon dict-devil linux-doc-6.1 openjdk-17-doc python3.11-doc
perl-doc postgresql-doc-15 sqlite3-doc git-doc cppreference-doc-en-html libreoffice-help-en-us gap-doc
llvm-14-doc clang-14-doc libboost1.81-doc libglib2.0-doc libgtk-3-doc python-django-doc
python-sqlalchemy-doc swi-prolog-doc apache2-doc cmake-doc exim4-doc-html postfix-doc r-doc-html zsh-doc
nodejs-doc nova-doc varnish-doc xen-doc user-mode-linux-doc maxima-doc qtbase5-doc-html racket-doc
"""
"""Packages of Debian 12, in the order in which they are read; another release lacks a few."""

PACKAGES = {"": tuple(FULL.split()), "small": ("anarchism",)}
"""By argument."""

TEXT, MANIFEST = "text.jsonl", "manifest.json"

MINUTES_A_MEGABYTE = 13 / 245
"""Minutes to fetch and extract a megabyte of packages, measured on two cores of a shared machine."""

APT_SECONDS = 1800.0
"""The longest that one package may take to download."""

PART_CHARACTERS = 20_000
"""A longer page is cut into documents of about this length, so that dictionaries, too, give three splits."""

HTML_SUFFIXES = {".html", ".htm", ".xhtml"}
TEXT_SUFFIXES = {".txt", ".text", ".rst", ".pod", ".dict"}
NO_PROSE = re.compile(
    r"changelog|copyright|licen[cs]e|genindex|index-all|/_sources/|_source\.html|/class-use/|translations/",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Package:
    """A line of the manifest. Sizes in bytes: of the package as downloaded, of its text as kept."""

    package: str
    version: str
    download_bytes: int
    text_bytes: int
    documents: int


def open_source(argument: str) -> TextSource:
    """The corpus of all packages, or with `small` of one; fetched and extracted when first opened."""
    if argument not in PACKAGES:
        raise UserError(f"dataset debian-docs:{argument} is unknown: take debian-docs or debian-docs:small")
    name = f"debian-docs:{argument}" if argument else "debian-docs"
    folder = cache_dir("debian-docs") / f"{argument or 'full'}-{EDITION}"
    if not (folder / MANIFEST).exists():
        parts = folder.with_name(f".{folder.name}-parts")
        found, missing = fetch(name, PACKAGES[argument], parts)
        with new_folder(folder) as scratch:
            _join(found, missing, parts, scratch)
        shutil.rmtree(parts, ignore_errors=True)
    manifest = json.loads((folder / MANIFEST).read_text())
    return TextSource(
        name=name,
        title=f"documentation of {len(manifest['packages'])} Debian packages (English)",
        licence="each package's own, in its copyright file; all of Debian's main section, free to share",
        fingerprint=manifest["digest"],
        n_bytes=manifest["text_bytes"],
        documents=partial(_documents, folder / TEXT),
    )


def fetch(name: str, packages: Sequence[str], parts: Path) -> tuple[list[Package], list[str]]:
    """Extracts the text of each package into a folder of its own in `parts`, unless it is there.

    What was found, and the packages that this release lacks. Raises `UserError` where apt can't.
    """
    _require_apt(name)
    sizes = _download_sizes(packages)
    left = [package for package in packages if not (parts / package).exists()]
    megabytes = sum(sizes.get(package, 0) for package in left) / 1e6
    minutes = max(1, round(megabytes * MINUTES_A_MEGABYTE))
    announce(
        f"{name}: {len(left)} of {len(packages)} Debian packages to fetch by apt and to extract, "
        f"{megabytes:.0f} MB, about {minutes} min; interrupt it at will, it goes on where it was"
    )
    seen, found, missing = set[bytes](), list[Package](), list[str]()
    with progress(name, sum(sizes.values())) as advance:
        for package in packages:
            part = _part(name, package, parts, seen)
            advance(package, sizes.get(package, 0))
            if part is None:
                missing.append(package)
                continue
            found.append(Package(**json.loads((part / MANIFEST).read_text())))
    if not found:
        raise _refusal(name, f"apt knows no package {' or '.join(missing)}: run apt-get update first")
    return found, missing


def _part(name: str, package: str, parts: Path, seen: set[bytes]) -> Path | None:
    """The folder of one package's text, fetched and extracted if need be; None where there is no such one.

    Of a package only what was not `seen` in those before it is kept; `seen` takes what is.
    """
    folder = parts / package
    if folder.exists():
        seen |= {_hash(p) for document in _documents(folder / TEXT) for p in document.text.split("\n")}
        return folder
    archive = _download(name, package)
    if archive is None:
        return None
    n_bytes = n_documents = 0
    with new_folder(folder) as scratch:
        with (scratch / TEXT).open("w", encoding="utf-8", newline="\n") as file:
            for document in documents_of(package, archive, seen):
                file.write(json.dumps([document.key, document.text], ensure_ascii=False) + "\n")
                n_bytes += len(document.text.encode())
                n_documents += 1
        version = archive.name.split("_")[1].replace("%3a", ":")
        facts = Package(package, version, archive.stat().st_size, n_bytes, n_documents)
        (scratch / MANIFEST).write_text(json.dumps(asdict(facts)))
    for file in _archives().glob(f"{package}_*.deb"):  # the text is what is kept
        file.unlink(missing_ok=True)
    return folder


def _join(found: Sequence[Package], missing: Sequence[str], parts: Path, folder: Path) -> None:
    """Writes the text of all packages, one after the other, and its manifest."""
    digest = hashlib.sha256()
    with (folder / TEXT).open("wb") as file:
        for package in found:
            text = (parts / package.package / TEXT).read_bytes()
            digest.update(text)
            file.write(text)
    manifest = {
        "packages": [asdict(package) for package in found],
        "not_in_this_release": missing,
        "download_bytes": sum(package.download_bytes for package in found),
        "text_bytes": sum(package.text_bytes for package in found),
        "digest": digest.hexdigest(),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")


def documents_of(package: str, archive: Path, seen: set[bytes]) -> Iterator[Document]:
    """The documents of a package's archive, by path; paragraphs whose hash was `seen` are left out."""
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            ["dpkg-deb", "-x", str(archive), scratch], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise UserError(
                f"{archive} can't be unpacked ({_last_line(done.stderr)}): delete it and try again"
            )
        for page in pages(Path(scratch)):
            entries = _suffix(page.name) == ".dict"
            kept: list[str] = []
            for paragraph in paragraphs(page):
                known = _hash(paragraph)
                if known not in seen and is_prose(paragraph, entries):
                    seen.add(known)
                    kept.append(paragraph)
            for number, part in enumerate(_parts(kept)):
                yield Document(f"{package}/{page.relative_to(scratch).as_posix()}/{number}", part)


def pages(root: Path) -> list[Path]:
    """The pages below a folder, sorted; the HTML ones alone where there are any, for the same text often
    ships twice."""
    files = [p for p in sorted(root.rglob("*")) if p.is_file() and not p.is_symlink()]
    known = [p for p in files if not NO_PROSE.search(p.relative_to(root).as_posix())]
    html = [p for p in known if _suffix(p.name) in HTML_SUFFIXES]
    return html or [p for p in known if _suffix(p.name) in TEXT_SUFFIXES]


def paragraphs(path: Path) -> list[str]:
    """The paragraphs of a page, each as one line."""
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":  # .gz, and a dictionary's .dz
        raw = gzip.decompress(raw)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    suffix = _suffix(path.name)
    return html_paragraphs(text) if suffix in HTML_SUFFIXES else text_paragraphs(text, suffix)


def _suffix(name: str) -> str:
    """The suffix of a file's name, that of its compression left out."""
    path = PurePosixPath(name)
    return PurePosixPath(path.stem).suffix if path.suffix in (".gz", ".dz") else path.suffix


def _hash(paragraph: str) -> bytes:
    return hashlib.blake2b(paragraph.encode(), digest_size=8).digest()


def _parts(paragraphs: Iterable[str]) -> Iterator[str]:
    part: list[str] = []
    for paragraph in paragraphs:
        part.append(paragraph)
        if sum(map(len, part)) >= PART_CHARACTERS:
            yield "\n".join(part)
            part = []
    if part:
        yield "\n".join(part)


def _documents(path: Path) -> Iterator[Document]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            key, text = json.loads(line)
            yield Document(key, text)


def _archives() -> Path:
    return cache_dir("downloads", "debian")


def _require_apt(name: str) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise _refusal(name, "this machine has no apt-get, or no dpkg-deb: it takes Debian or Ubuntu")


def _download_sizes(packages: Sequence[str]) -> dict[str, int]:
    """Bytes to download by package, as far as apt knows them; those that it doesn't know are not there."""
    command = ["apt-cache", "show", "--no-all-versions", *packages]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=APT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    shown = re.findall(r"^(Package|Size): (.+)$", done.stdout, re.MULTILINE)
    names = [value for key, value in shown if key == "Package"]
    return dict(zip(names, (int(value) for key, value in shown if key == "Size"), strict=False))


def _download(name: str, package: str) -> Path | None:
    """The archive of a package, kept until it is extracted; None where this release has no such package."""
    try:
        done = _apt("download", package)
    except subprocess.TimeoutExpired:
        raise _refusal(name, f"apt-get was at {package} for {APT_SECONDS / 60:.0f} minutes") from None
    if done.returncode:
        if "Unable to locate package" in done.stderr or "no installation candidate" in done.stderr:
            return None
        raise _refusal(name, f"apt-get could not download {package} ({_last_line(done.stderr)})")
    return max(_archives().glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime)


def _apt(*arguments: str) -> subprocess.CompletedProcess[str]:
    # A server that is silent for half a minute is given up, twice.
    limits = ("Acquire::http::Timeout=30", "Acquire::https::Timeout=30", "Acquire::Retries=1")
    command = ["apt-get", "--quiet=2", *arguments, *(f"-o{limit}" for limit in limits)]
    return subprocess.run(
        command, cwd=_archives(), capture_output=True, text=True, check=False, timeout=APT_SECONDS
    )


def _last_line(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith("W:")]
    return lines[-1] if lines else "it said nothing"


def _refusal(name: str, why: str) -> UserError:
    return UserError(
        f"dataset {name}: {why}; or use --data text:GLOB with text of your own, or a copy of the folder "
        "debian-docs of another machine's cache (docs/accelerators.md)"
    )
