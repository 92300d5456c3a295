"""A sweep's folder: content-addressed segments and cells, each there whole or not at all.

sweep.json           the config and the plan
segments/ID/         segment.json, metrics.npz and, while it is needed or kept, checkpoint/
cells/ID/            cell.json, windows.npy, curve.jsonl
failures/ID.json     why a segment could not be trained; tried again by the next run
profiles/dWIDTH/     a profiler's trace, where one was asked for
runs.csv tuning.csv checks.csv summary.json fit.json report.html figures/
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from models.errors import UserError
from sweeps.config import SweepConfig
from train.spec import from_json, to_json


class Store:
    """The folder at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: Path, config: SweepConfig) -> Store:
        """The folder of this very sweep, made if need be; `UserError` as `refuse` gives it."""
        store = cls(path)
        store.refuse(config)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = error.strerror or "it failed"
            raise UserError(f"can't make the folder {path}: {why}: choose another with --out") from error
        if not (path / "sweep.json").exists():
            store.write_json("sweep.json", {"format": 1, "name": config.name, "config": to_json(config)})
        elif store.config() != config:  # more budgets: there is more to do
            (path / "summary.json").unlink(missing_ok=True)
            store.note("config", to_json(config))
        return store

    def refuse(self, config: SweepConfig) -> None:
        """Raises `UserError` if the folder holds another sweep or something else, or can't be written to.

        A config that adds larger budgets to the folder's own is the same sweep, gone further.
        """
        if (self.path / "sweep.json").exists():
            self._refuse_another(config)
        elif self.path.is_dir() and any(self.path.iterdir()):
            raise UserError(
                f"{self.path} holds something that is not a sweep: choose another folder with --out"
            )
        if self.path.exists() and not (self.path.is_dir() and os.access(self.path, os.W_OK)):
            raise UserError(f"can't write to {self.path}: choose another folder with --out")

    def config(self) -> SweepConfig:
        """The config that the folder was made for."""
        return from_json(SweepConfig, self.facts()["config"])

    def facts(self) -> dict[str, Any]:
        """What sweep.json holds. `UserError` if it isn't there or isn't a sweep's."""
        facts = self.read_json("sweep.json")
        if not (isinstance(facts, dict) and isinstance(facts.get("config"), dict)):
            raise UserError(f"{self.path / 'sweep.json'} is not a sweep's: choose another folder with --out")
        return facts

    def note(self, key: str, value: Any) -> None:
        """Adds a fact to sweep.json, or brings it up to date."""
        facts = self.facts()
        if facts.get(key) != value:
            self.write_json("sweep.json", facts | {key: value})

    def segment(self, segment_id: str) -> Path:
        """The segment's folder."""
        return self.path / "segments" / segment_id

    def cell(self, cell_id: str) -> Path:
        """The cell's folder."""
        return self.path / "cells" / cell_id

    def segment_done(self, segment_id: str) -> bool:
        """Whether the segment was trained (its checkpoint may be gone since)."""
        return (self.segment(segment_id) / "segment.json").exists()

    def diverged_at(self, segment_id: str) -> int | None:
        """The step at which the segment's loss stopped being finite, if it was trained and did."""
        if not self.segment_done(segment_id):
            return None
        return self.read_json(f"segments/{segment_id}/segment.json")["diverged_at"]

    def has_checkpoint(self, segment_id: str) -> bool:
        """Whether training can go on from this segment."""
        return (self.segment(segment_id) / "checkpoint").exists()

    def cell_done(self, cell_id: str) -> bool:
        """Whether the cell has its result."""
        return (self.cell(cell_id) / "cell.json").exists()

    def drop_checkpoint(self, segment_id: str) -> None:
        """Frees the segment's checkpoint; what else is known of the segment stays."""
        shutil.rmtree(self.segment(segment_id) / "checkpoint", ignore_errors=True)

    def drop_segment(self, segment_id: str) -> None:
        """Forgets that the segment was trained."""
        shutil.rmtree(self.segment(segment_id), ignore_errors=True)

    def failure(self, segment_id: str) -> Path:
        """Where the reason is kept why the segment could not be trained."""
        return self.path / "failures" / f"{segment_id}.json"

    def profile(self, width: int) -> Path | None:
        """Where the trace of a width goes; None if it is there already."""
        folder = self.path / "profiles" / f"d{width}"
        return None if folder.exists() else folder

    def read_json(self, name: str) -> Any:
        """A JSON file of the folder; `UserError` if it isn't there or isn't JSON."""
        path = self.path / name
        try:
            return json.loads(path.read_text())
        except FileNotFoundError as error:
            raise UserError(f"{self.path} is not a sweep's folder: it has no {name}") from error
        except json.JSONDecodeError as error:
            raise UserError(f"{path} is damaged ({error}): delete it and run the sweep again") from error

    def write_json(self, name: str, value: Any) -> None:
        """Replaces a JSON file of the folder in one stroke."""
        self.write_text(name, json.dumps(value, indent=1) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Replaces a text file of the folder in one stroke."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        with scratch.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)

    def _refuse_another(self, config: SweepConfig) -> None:
        ours, theirs = to_json(config), self.facts()["config"]
        differing = sorted(k for k in ours | theirs if ours.get(k) != theirs.get(k))
        known = theirs.get("budgets", [])
        if differing and not (differing == ["budgets"] and ours["budgets"][: len(known)] == known):
            key = differing[0]
            more = f" (and {', '.join(differing[1:])})" if differing[1:] else ""
            raise UserError(
                f"{self.path} holds another sweep: {key} is {theirs.get(key)} there and {ours.get(key)} here"
                f"{more}: choose another folder with --out"
            )
