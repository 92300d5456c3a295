"""Prose out of Debian packages: pages, paragraphs, and what happens where there is no apt."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isoflop.base.errors import UserError
from isoflop.train.data.prose import html_paragraphs, is_prose, text_paragraphs
from isoflop.train.data.sources import Document, debian_docs
from isoflop.train.data.sources.debian_docs import open_source, pages, paragraphs
from tests.support.optional import lacking

PROSE = "The cat that was on the mat is not the one that sat by the door, and it knew this."
OTHER = "It is said that the moon is a stone which has been in the sky for as long as there are eyes."
THIRD = "A reader of manuals will find that the end of each of them is not as long as it was feared."

PAGE = f"""<!DOCTYPE html><html><head><title>{OTHER}</title><style>p {{ }}</style></head><body>
<nav><ul><li><a href="x">Up to the top of the page</a></ul></nav>
<h1>A title</h1><p>{PROSE.replace("cat", "<b>cat</b>").replace("mat", '<a title="a > b" href=x>m&#97;t</a>')}
<p>Next<script>if (a < b) {{ {OTHER} }}</script>
<pre>for the in of and to is that for with be by are this from not it as which can will</pre>
<div class="body">{OTHER.replace(" ", "  ", 3)}<br/></div><table><tr><td>{PROSE}</td></tr></table>
</body></html>"""


def test_a_page_is_its_paragraphs_without_tags_scripts_or_code() -> None:
    found = html_paragraphs(PAGE)
    assert [p for p in found if is_prose(p)] == [PROSE, OTHER, PROSE]
    assert "A title" in found
    assert not any("<" in p or "for the in" in p or "top of the page" in p for p in found)


def test_a_head_that_is_never_closed_hides_nothing() -> None:
    assert html_paragraphs(f"<head><title>x</title><body><p>{PROSE}") == [PROSE]


@pytest.mark.parametrize(
    ("paragraph", "kept"),
    [
        (PROSE, True),
        ("Short, and to the point.", False),
        ("int main(int argc, char **argv) { return argv[0][0] == 'a' || argc > 1; }", False),
        ("Der Hund, der nicht bellt, wird von der Katze auch nicht gefürchtet, sagt man.", False),
        ("Le chien qui dort ne voit pas le chat sur le toit et ne sait rien de la nuit.", False),
        ("当硬件中的hwirq号是可编程的时候，就可以采用无映射类型。" * 4, False),
        ("Home | Index | Next chapter | Previous chapter | Table of contents | Search page", False),
    ],
)
def test_prose_is_told_from_what_is_not(paragraph: str, kept: bool) -> None:
    assert is_prose(paragraph) == kept


def test_plain_text_pods_and_dictionaries_have_paragraphs_too() -> None:
    wrapped = PROSE.replace(" and", "\n  and")
    assert text_paragraphs(f"{wrapped}\n \n{OTHER}\n", ".txt") == [PROSE, OTHER]
    pod = f"=head1 NAME\n\n{PROSE.replace('cat', 'B<cat>').replace('mat', 'C<< mat >>')}\n\n    code here\n"
    assert text_paragraphs(pod, ".pod") == [PROSE]
    entries = (
        "absinthe\n    n 1: strong green liqueur\n       flavored with wormwood\nabsolute\n    adj 1: perfect"
    )
    assert text_paragraphs(entries, ".dict") == [
        "absinthe n 1: strong green liqueur flavored with wormwood",
        "absolute adj 1: perfect",
    ]
    assert is_prose("absinthe n 1: strong green liqueur flavored with wormwood", in_dictionary=True)


def write(root: Path, files: dict[str, bytes]) -> None:
    """Files by path under `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_html_is_taken_alone_where_there_is_any(tmp_path: Path) -> None:
    text = {"doc/a.txt.gz": gzip.compress(PROSE.encode()), "doc/b.rst": b"x", "doc/changelog.gz": b"x"}
    write(tmp_path, text)
    (tmp_path / "doc" / "link.txt").symlink_to(tmp_path / "doc" / "b.rst")
    assert [page.relative_to(tmp_path).as_posix() for page in pages(tmp_path)] == [
        "doc/a.txt.gz",
        "doc/b.rst",
    ]
    assert paragraphs(pages(tmp_path)[0]) == [PROSE]
    write(
        tmp_path,
        {"doc/z.html": PAGE.encode(), "doc/genindex.html": b"", "doc/y.htm": "<p>é".encode("latin-1")},
    )
    assert [page.relative_to(tmp_path).as_posix() for page in pages(tmp_path)] == ["doc/y.htm", "doc/z.html"]
    assert paragraphs(pages(tmp_path)[0]) == ["é"]


APT = """#!/bin/sh
echo "W: a harmless warning" >&2
package=$3
[ -e "{archives}/$package" ] || {{ echo "E: {complaint} $package" >&2; exit 100; }}
cp "{archives}/$package" "./${{package}}_1%3a2.3-4_all.deb"
"""
DPKG = """#!/bin/sh
exec tar -xf "$2" -C "$3"
"""

Archive = Callable[[str, dict[str, bytes]], None]


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """Puts a package into the archive of a made-up apt, of which this machine has nothing else."""
    archives, commands = tmp_path / "archives", tmp_path / "bin"
    archives.mkdir()
    apt = APT.format(archives=archives, complaint="Unable to locate package")
    write(commands, {"apt-get": apt.encode(), "dpkg-deb": DPKG.encode()})
    for command in commands.iterdir():
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:/usr/bin:/bin")
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "cache"))

    def put(package: str, files: dict[str, bytes]) -> None:
        write(tmp_path / package, files)
        with tarfile.open(archives / package, "w") as tar:
            tar.add(tmp_path / package, arcname=".")

    return put


def small_pages(extra: str = "") -> dict[str, bytes]:
    """Two pages that share a paragraph."""
    return {
        "usr/share/doc/anarchism/html/a.html": PAGE.encode(),
        "usr/share/doc/anarchism/html/b.html": f"<p>{PROSE}<p>{THIRD}{extra}".encode(),
        "usr/share/doc/anarchism/copyright": b"free",
    }


def test_a_package_becomes_a_corpus_and_stays(archive: Archive, tmp_path: Path) -> None:
    archive("anarchism", small_pages())
    source = open_source("small")
    documents = {d.key: d.text for d in source.documents()}
    assert documents == {
        "anarchism/usr/share/doc/anarchism/html/a.html/0": f"{PROSE}\n{OTHER}",
        "anarchism/usr/share/doc/anarchism/html/b.html/0": THIRD,
    }
    folder = tmp_path / "cache" / "debian-docs" / f"small-{debian_docs.EDITION}"
    manifest = json.loads((folder / "manifest.json").read_text())
    size = sum(len(text) for text in documents.values())
    assert manifest["packages"] == [
        {
            "package": "anarchism",
            "version": "1:2.3-4",
            "download_bytes": (tmp_path / "archives" / "anarchism").stat().st_size,
            "text_bytes": size,
            "documents": 2,
        }
    ]
    assert source.n_bytes == manifest["text_bytes"] == size
    assert source.fingerprint == manifest["digest"]
    assert list((tmp_path / "cache" / "downloads" / "debian").iterdir()) == []

    archive("anarchism", small_pages("?"))  # a newer version comes out
    assert open_source("small").fingerprint == source.fingerprint
    shutil.rmtree(folder)
    assert open_source("small").fingerprint != source.fingerprint


def test_a_copied_folder_needs_no_apt(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive("anarchism", small_pages())
    here = open_source("small")
    shutil.move(tmp_path / "cache", tmp_path / "carried")
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "carried"))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    there = open_source("small")
    assert there.fingerprint == here.fingerprint
    assert list(there.documents()) != []


def test_packages_that_a_release_lacks_are_named(archive: Archive, tmp_path: Path) -> None:
    archive("anarchism", small_pages())
    archive("perl-doc", {"usr/share/perl/pod/x.pod": f"=head1 X\n\n{THIRD}\n\n{THIRD}!".encode()})
    source = open_source("")
    assert [d.text for d in source.documents()][-1] == f"{THIRD}!"
    manifest = json.loads(next((tmp_path / "cache" / "debian-docs").glob("full-*/manifest.json")).read_text())
    assert [p["package"] for p in manifest["packages"]] == ["anarchism", "perl-doc"]
    assert set(manifest["not_in_this_release"]) == set(debian_docs.PACKAGES[""]) - {"anarchism", "perl-doc"}


def test_stopped_half_way_it_goes_on_after_the_last_package_that_was_finished(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive("anarchism", small_pages())
    archive("dict-wn", {"b.html": f"<p>{PROSE}<p>{THIRD}!".encode()})
    whole = open_source("")
    shutil.rmtree(tmp_path / "cache")
    real = debian_docs.documents_of
    extracted: list[str] = []

    def stop(package: str, path: Path, seen: set[bytes]) -> Iterator[Document]:
        extracted.append(package)
        if package == "dict-wn" and extracted.count(package) == 1:
            raise KeyboardInterrupt
        return real(package, path, seen)

    monkeypatch.setattr(debian_docs, "documents_of", stop)
    with pytest.raises(KeyboardInterrupt):
        open_source("")
    assert not list((tmp_path / "cache" / "debian-docs").glob("full-*"))
    capsys.readouterr()
    again = open_source("")
    said = capsys.readouterr().err.splitlines()
    assert (
        f"{len(debian_docs.PACKAGES['']) - 1} of {len(debian_docs.PACKAGES[''])} Debian packages" in said[0]
    )
    assert extracted == ["anarchism", "dict-wn", "dict-wn"]
    assert again.fingerprint == whole.fingerprint
    assert list(again.documents()) == list(whole.documents())
    assert len(list((tmp_path / "cache" / "debian-docs").iterdir())) == 1, "no half of it is left"


def test_before_anything_is_fetched_it_says_how_much(
    archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive("anarchism", small_pages())
    cache = "#!/bin/sh\nprintf 'Package: anarchism\\nSize: 61000000\\n\\n'\n"
    write(tmp_path / "bin", {"apt-cache": cache.encode()})
    (tmp_path / "bin" / "apt-cache").chmod(0o755)
    open_source("small")
    said = capsys.readouterr().err.splitlines()
    assert said[0] == (
        "debian-docs:small: 1 of 1 Debian packages to fetch by apt and to extract, 61 MB, about 3 min; "
        "interrupt it at will, it goes on where it was"
    )
    assert said[1:] == ["debian-docs:small: anarchism"]


def test_a_long_page_is_cut(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian_docs, "PART_CHARACTERS", len(PROSE) + 1)
    paragraphs = [f"{PROSE} {'and so on, ' * n}" for n in range(5)]
    archive("anarchism", {"a.html": "".join(f"<p>{p}" for p in paragraphs).encode()})
    keys = [d.key for d in open_source("small").documents()]
    assert keys == [f"anarchism/a.html/{n}" for n in range(len(keys))]
    assert len(keys) == 5 or len(keys) == 4


def test_without_apt_the_mend_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no apt-get.*Debian or Ubuntu.*text:GLOB") as caught:
        open_source("small")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "debian-docs").iterdir())


def test_apt_without_lists_or_network_is_told(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"apt knows no package anarchism: run apt-get update first"):
        open_source("small")
    apt = APT.format(archives=tmp_path / "archives", complaint="Could not resolve the host for")
    (tmp_path / "bin" / "apt-get").write_text(apt)
    with pytest.raises(UserError, match=r"could not download anarchism \(E: Could not resolve the host"):
        open_source("small")


def test_a_damaged_archive_is_told(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "archives" / "anarchism").write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"can't be unpacked \(.*\): delete it and try again"):
        open_source("small")


@pytest.mark.parametrize("argument", ["large", "no such thing"])
def test_another_argument_is_refused(argument: str) -> None:
    with pytest.raises(UserError, match=r"take debian-docs or debian-docs:small"):
        open_source(argument)


@pytest.mark.slow
def test_the_real_package_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        lacking("packages", "No apt-get here.")
    asked = subprocess.run(
        ["apt-get", "download", "--print-uris", "anarchism"], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        lacking("packages", asked.stderr.strip().splitlines()[-1])
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path))
    try:
        source = open_source("small")
    except UserError as error:
        if "could not download" in str(error):
            lacking("packages", str(error))
        raise
    assert 8e6 < source.n_bytes < 20e6
    documents = list(source.documents())
    assert len({d.key for d in documents}) == len(documents) > 200
    words = " ".join(d.text for d in documents[:50]).split()
    assert 0.03 < words.count("the") / len(words) < 0.12
