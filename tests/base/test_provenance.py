"""What made a result: versions without imports, the commit of the code's own checkout, the log of starts."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import isoflop
from isoflop.__main__ import _run
from isoflop.base.provenance import LOG, PACKAGES, Provenance, _commit, log_start, provenance, version


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git repository with one committed file."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "code.py").write_text("x = 1\n")
    git(folder, "init", "--quiet")
    git(folder, "add", "code.py")
    git(folder, "-c", "user.name=n", "-c", "user.email=n@e", "commit", "--quiet", "-m", "one")
    return folder


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_versions_are_those_installed() -> None:
    made_by = provenance()
    assert made_by.isoflop == isoflop.__version__ == importlib.metadata.version("isoflop")
    assert made_by.packages == {name: importlib.metadata.version(name) for name in PACKAGES}
    assert made_by.python == ".".join(map(str, sys.version_info[:3]))
    assert made_by.host
    assert abs((datetime.now(UTC) - datetime.fromisoformat(made_by.time)).total_seconds()) < 3600
    assert Provenance(**json.loads(json.dumps(made_by.to_json()))) == made_by
    assert version("no-such-package") is None


def test_no_package_is_imported_for_its_version() -> None:
    code = (
        "import sys; from isoflop.base.provenance import provenance; provenance()\n"
        f"assert not set({PACKAGES}) & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_commit_of_a_checkout_with_a_mark_where_files_changed(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(checkout / "elsewhere"))  # as within a hook of another repository
    (checkout / "outputs.txt").write_text("not of the code")
    assert _commit.__wrapped__(checkout) == commit
    (checkout / "code.py").write_text("x = 2\n")
    assert _commit.__wrapped__(checkout) == f"{commit}-dirty"


def test_no_commit_from_a_wheel_without_git_or_of_the_repository_around(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = checkout / "venv" / "site-packages" / "isoflop"
    installed.mkdir(parents=True)
    assert _commit.__wrapped__(installed) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _commit.__wrapped__(checkout) is None


@pytest.mark.parametrize(
    ("commit", "expected"),
    [(None, "0.1.0"), ("0123456789", "0.1.0+g0123456"), ("0123456789-dirty", "0.1.0+g0123456.dirty")],
)
def test_the_version_holds_the_commit(commit: str | None, expected: str) -> None:
    made_by = Provenance("0.1.0", commit, "3.11.0", {}, "Linux", "cpu", "here", "2026-11-25T00:00:00+00:00")
    assert made_by.version == expected


def test_each_start_is_a_line_even_after_one_that_was_cut_short(tmp_path: Path) -> None:
    log_start(tmp_path, ["isoflop", "sweep", "mine"])
    with (tmp_path / LOG).open("a") as file:
        file.write('{"isoflop": "0.')
    log_start(tmp_path, ["isoflop", "sweep", "mine"])
    first, cut, last = (tmp_path / LOG).read_text().splitlines()
    assert cut == '{"isoflop": "0.'
    for line in (first, last):
        assert json.loads(line)["command"] == ["isoflop", "sweep", "mine"]
        assert json.loads(line)["packages"]["jax"] == importlib.metadata.version("jax")


def test_the_command_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["--version"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"isoflop {provenance().version}, Python {provenance().python}, jax ")
    assert said.count("\n") == 1
