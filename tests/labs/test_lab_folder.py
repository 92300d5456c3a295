"""A lab's folder, its roster and keys, and databases that are none."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

import pytest

from isoflop.base import durable
from isoflop.base.errors import UserError
from isoflop.labs.lab import DATABASE, KEYS, SECRET, SETTINGS, Lab, new_lab, open_lab
from isoflop.labs.roster import new_keys, numbered, read_keys, read_roster
from isoflop.labs.store.database import open_database
from isoflop.labs.store.opening import open_store
from tests.support.labs import STUDENTS, make_lab


def test_a_new_labs_folder(lab: Lab) -> None:
    assert open_lab(lab.folder) == lab
    keys = lab.keys()
    assert tuple(keys) == STUDENTS
    assert all(len(key) == 8 and key.isdigit() for key in keys.values())
    assert (lab.folder / KEYS).read_text().startswith("student,key\nann,")
    for private in (KEYS, SECRET):
        assert stat.S_IMODE((lab.folder / private).stat().st_mode) == 0o600
    with pytest.raises(UserError, match="holds a lab already"):
        make_lab(lab.folder)


def test_no_key_stands_in_the_database(lab: Lab) -> None:
    open_store(lab, None).close()
    stored = b"".join(path.read_bytes() for path in lab.folder.glob(f"{DATABASE}*"))
    assert b"ann" in stored
    assert not [key for key in lab.keys().values() if key.encode() in stored]


def test_keys_differ_and_their_hashes_need_the_secret(tmp_path: Path) -> None:
    assert len(set(new_keys(numbered(1000)).values())) == 1000
    one, other = make_lab(tmp_path / "one"), make_lab(tmp_path / "other")
    assert one.key_hash("12345678") == one.key_hash("12345678") != other.key_hash("12345678")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Ann Lee\nBob\n", ["Ann Lee", "Bob"]),
        ("student\nAnn\n\n", ["Ann"]),
        ("\ufeffname,mail\n Ann ,a@b\nBob\n", ["Ann", "Bob"]),
        ('"Lee, Ann",x\n', ["Lee, Ann"]),
    ],
)
def test_rosters(text: str, names: list[str], tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text(text)
    assert read_roster(tmp_path / "roster.csv") == names


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no names"),
        ("name\n", "no names"),
        ("Ann\n\nBob\n", "line 2: the name is empty: write one, or delete"),
        ("name\nAnn\nBob\nAnn\n", "line 4: 'Ann' stands there twice: delete one"),
        ("Ann\nB\0b\n", "line 2: a name is"),
        ("Ann\n" + "x" * 201, "line 2: a name is .*; shorten"),
    ],
)
def test_wrong_rosters_are_refused_by_line(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text(text)
    with pytest.raises(UserError, match=why):
        read_roster(tmp_path / "roster.csv")


def test_unreadable_rosters(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file: write names"):
        read_roster(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("Zoë\n".encode("latin-1"))
    with pytest.raises(UserError, match="UTF-8"):
        read_roster(tmp_path / "latin.csv")
    with pytest.raises(UserError, match="directory"):
        read_roster(tmp_path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ann,12345678\n", "first line"),
        ("student,key\nann,1234567\n", "line 2: .*8 digits"),
        ("student,key\nann,12345678,x\n", "line 2"),
        ("student,key\nann,12345678\nbob,12345678\n", "line 3: that key"),
        ("student,key\nann,12345678\nann,12345679\n", "line 3: 'ann'"),
    ],
)
def test_wrong_keys_are_refused_by_line(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "keys.csv").write_text(text)
    with pytest.raises(UserError, match=why):
        read_keys(tmp_path / "keys.csv")


def test_a_full_disk_leaves_no_half_a_lab(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write", full)
        with pytest.raises(OSError, match="No space"):
            new_lab(tmp_path / "new", lab.settings, ["ann"])
    assert list(new_lab(tmp_path / "new", lab.settings, ["ann"]).keys()) == ["ann"]


def test_a_lab_that_lost_its_rules_keeps_its_secret(lab: Lab) -> None:
    (lab.folder / SETTINGS).unlink()
    with pytest.raises(UserError, match=r"holds a lab already \(secret\)"):
        new_lab(lab.folder, lab.settings, ["ann"])
    assert (lab.folder / SECRET).read_text() == lab.secret.hex() + "\n"


def test_a_folder_that_lost_a_part(lab: Lab) -> None:
    (lab.folder / SECRET).write_text("00")
    with pytest.raises(UserError, match="secret: missing or damaged"):
        open_lab(lab.folder)
    (lab.folder / SETTINGS).write_text("{}")
    with pytest.raises(UserError, match="lab_id"):
        open_lab(lab.folder)
    (lab.folder / SETTINGS).write_text("{")
    with pytest.raises(UserError, match="no JSON"):
        open_lab(lab.folder)
    with pytest.raises(UserError, match="holds no lab"):
        open_lab(lab.folder / "none")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("mysql://x/y", "must be sqlite"),
        ("nonsense", "--database"),
        ("postgresql://u:hunter2@127.0.0.1:1/x", "postgresql://u:.*refused"),
        ("sqlite:////no/such/folder/x.db", "unable to open"),
    ],
)
def test_a_database_that_cannot_be_reached(address: str, why: str) -> None:
    with pytest.raises(UserError, match=why) as refused:
        open_database(address, "lab")
    assert "hunter2" not in str(refused.value)
