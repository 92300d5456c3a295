"""A lab's folder: `lab.json` (its rules), `keys.csv` (students and keys), `secret`, and the database."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from isoflop.base import durable
from isoflop.base.errors import UserError
from isoflop.labs import roster
from isoflop.labs.settings import Settings

PRACTICE = "practice"
SETTINGS, KEYS, SECRET, DATABASE = "lab.json", "keys.csv", "secret", "lab.sqlite"
SECRET_BYTES = 32


@dataclass(frozen=True)
class Lab:
    """What a lab's folder says. `secret`: of it come the students' laws and the keys' hashes."""

    folder: Path
    settings: Settings
    secret: bytes

    @property
    def default_database(self) -> str:
        """The URL of the database in the folder."""
        return f"sqlite:///{(self.folder / DATABASE).absolute()}"

    def keys(self) -> dict[str, str]:
        """By student, the key, as `keys.csv` has them now."""
        return roster.read_keys(self.folder / KEYS)

    def key_hash(self, key: str) -> str:
        """What the database holds of a key. Eight digits are soon tried, so that the hash needs the secret,
        which the database has not."""
        return hmac.new(self.secret, b"key:" + key.encode(), hashlib.sha256).hexdigest()

    def pseudonym(self, student: str) -> str:
        """What a student is called on the leaderboard: without the secret it tells nothing of the name."""
        digest = hmac.new(self.secret, b"pseudonym:" + student.encode(), hashlib.sha256).hexdigest()
        return f"student {digest[:8]}"

    def practice(self) -> Lab | None:
        """The practice lab in this one's folder: the same keys, another secret; None where there is none."""
        folder = self.folder / PRACTICE
        return open_lab(folder) if (folder / SETTINGS).exists() else None


def new_lab(folder: Path, settings: Settings, students: Sequence[str]) -> Lab:
    """Makes the folder of a lab. Raises `UserError` where there is one already."""
    refuse_lab(folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}") from None
    lab = Lab(folder, settings, secrets.token_bytes(SECRET_BYTES))
    try:
        _write_private(folder / SECRET, lab.secret.hex() + "\n")
        _write_private(folder / KEYS, roster.keys_text(roster.new_keys(students)))
        durable.write(folder / SETTINGS, json.dumps(settings.to_json(), indent=2) + "\n")
    except OSError:  # a full disk: nothing is left that a second try would take for a lab
        for name in (SECRET, KEYS):
            (folder / name).unlink(missing_ok=True)
        raise
    return lab


def refuse_lab(folder: Path) -> None:
    """Raises `UserError` for a folder that holds a lab, or what is left of one: a new secret would take its
    laws and keys away."""
    for name in (SETTINGS, SECRET, KEYS, DATABASE):
        if (folder / name).exists():
            raise UserError(f"{folder}: holds a lab already ({name}): choose another folder, or delete it")


def add_practice(lab: Lab) -> Lab:
    """Makes a lab's practice lab: a surrogate of other laws, with a budget of its own and the same keys."""
    folder = lab.folder / PRACTICE
    folder.mkdir(mode=0o700)
    practice = Lab(folder, practice_settings(lab.settings), secrets.token_bytes(SECRET_BYTES))
    _write_private(folder / SECRET, practice.secret.hex() + "\n")
    (folder / KEYS).symlink_to(Path("..") / KEYS)  # one list: who is replaced or withdrawn is so in both
    durable.write(folder / SETTINGS, json.dumps(practice.settings.to_json(), indent=2) + "\n")
    return practice


def practice_settings(settings: Settings) -> Settings:
    """A practice lab's rules: those of the lab, where it is a surrogate too; else the windows alone, since
    its machine's seconds are not a surrogate's."""
    if settings.backend == "surrogate":
        return replace(settings, lab_id=new_lab_id(), leaderboard="off")
    return Settings(lab_id=new_lab_id(), backend="surrogate", windows=settings.windows, leaderboard="off")


def open_lab(folder: Path) -> Lab:
    """The lab in a folder. Raises `UserError` for what is none, or has lost a part."""
    path = folder / SETTINGS
    if not path.exists():
        raise UserError(f"{folder}: holds no lab: make one with isoflop lab init {folder} --students 10")
    try:
        settings = Settings.from_json(json.loads(path.read_text()))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: is no JSON: {error}") from None
    try:
        secret = bytes.fromhex((folder / SECRET).read_text())
    except (OSError, ValueError):
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise UserError(
            f"{folder / SECRET}: missing or damaged; keys and laws depend on it: take it from a backup"
        )
    return Lab(folder, settings, secret)


def new_lab_id() -> str:
    """A name that no other lab has."""
    return secrets.token_hex(8)


def _write_private(path: Path, text: str) -> None:
    """Writes a file that none but its owner reads, not even for a moment."""
    path.touch(mode=0o600)
    path.write_text(text)
