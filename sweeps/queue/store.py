"""A sweep's folder: content-addressed records, each there whole or not at all.

sweep.json           the config and the plan
provenance.jsonl     a line for each start: versions, commit, machine, time, command
segments/ID/         segment.json, metrics.npz: a stretch that was trained
checkpoints/ID/      its state at the end, while it is needed or kept
partial/ID~STEPS/    state and metrics after STEPS steps of one that was left half-way
live/ID              metrics of one under way, step by step
diverged/ID/         like segments/ID, of one whose loss stopped being finite
cells/ID/            cell.json, windows.npy, curve.jsonl
failures/ID~N.json   why a segment's N-th try failed
board/ claims/       what there is to do, who is at what
workers/ coordinators/ refusals/   how they are, who hands out the work, why one can't work
damaged/             what didn't match its checksums, set aside
profiles/dWIDTH/     a profiler's trace, where one was asked for
mirrored/ wandb/ cells.jsonl   what was logged to the trackers
worker.log slurm/ ray/   what workers said
forecasts/   what was registered of budgets before their runs, and the scores
evals/       what was measured of the kept models; evals/NAME is a folder like this one to those who measure
runs.csv tuning.csv checks.csv summary.json fit.json report.html figures/
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from isoflop.base import durable
from isoflop.base.durable import CorruptRecordError, list_names
from isoflop.base.errors import UserError
from isoflop.base.formatting import compact
from isoflop.base.json_values import from_json, to_json
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.train.spec import RESULTS_VERSION, DataSpec

FORMAT = 3

GRID = "fixed grid"
"""Kind of a sweep whose cells are planned before anything is trained."""

MAX_CORRUPTIONS = 5
"""How often a record that came back damaged is made again."""

MAX_TRIES = 2
"""A task that fails is tried again by whoever comes, so many times a run of the command."""


@dataclass(frozen=True)
class Contents:
    """What a folder holds, by names alone. `partial`: segment -> steps done; `failures`: segment -> tries."""

    segments: frozenset[str]
    checkpoints: frozenset[str]
    diverged: frozenset[str]
    cells: frozenset[str]
    partial: dict[str, int]
    failures: dict[str, int]

    @cached_property
    def failed_segments(self) -> set[str]:
        """Segments that nothing can go on from: diverged, or failed as often as they are tried."""
        return {*self.diverged, *(s for s, tries in self.failures.items() if tries >= MAX_TRIES)}

    def cell_status(self, cell_id: str, path: Sequence[str], claimed: Set[str]) -> str:
        """What has become of a cell of that `path` of segments, some of which may be `claimed` by workers."""
        if cell_id in self.cells:
            return "finished"
        if not self.diverged.isdisjoint(path):
            return "diverged"
        if not self.failed_segments.isdisjoint(path):
            return "failed"
        return "pending" if claimed.isdisjoint(path) else "running"


class Store:
    """The folder at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: Path, config: SweepConfig, kind: str = GRID, corpus: DataSpec | None = None) -> Store:
        """The folder of this very sweep, made if need be; `UserError` as `refuse` gives it, and for another
        corpus than the one that it was trained on."""
        store = cls(path)
        store.refuse(config, kind)
        if corpus and (path / "sweep.json").exists():
            store.refuse_corpus(corpus)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = error.strerror or "it failed"
            raise UserError(f"can't make the folder {path}: {why}: choose another with --out") from error
        if not (path / "sweep.json").exists():
            head = {"format": FORMAT, "results_version": RESULTS_VERSION, "name": config.name}
            store.write_json("sweep.json", head | {"kind": kind, "config": to_json(config)})
        elif store.config() != config:  # more budgets: there is more to do
            (path / "summary.json").unlink(missing_ok=True)
            store.note("config", to_json(config))
        if corpus:
            store.note("corpus", to_json(corpus))
        return store

    def refuse(self, config: SweepConfig, kind: str = GRID) -> None:
        """Raises `UserError` if the folder holds another sweep, a sweep of another `kind` or something else,
        or can't be written to.

        A config that adds larger budgets to the folder's own is the same sweep, gone further. A `sweep.json`
        that is no JSON any more, amid a sweep's records, is set aside: all it held follows from the config.
        """
        head = self.path / "sweep.json"
        if self.path.is_dir() and not head.exists() and self._holds_something_else():
            raise UserError(
                f"{self.path} holds something that is not a sweep: choose another folder with --out"
            )
        if head.exists():
            if self._is_torn(head):
                self.set_aside(head, "no JSON")
            else:
                self._refuse_another(config, kind)
        if self.path.exists() and not (self.path.is_dir() and os.access(self.path, os.W_OK)):
            raise UserError(f"can't write to {self.path}: choose another folder with --out")

    def _holds_something_else(self) -> bool:
        """Whether there is more than a `sweep.json` that another process is about to put there."""
        others = [path for path in self.path.iterdir() if not path.name.startswith(".sweep.json.")]
        return bool(others) and not any(path.name in ("segments", "sweep.json") for path in others)

    def config(self) -> SweepConfig:
        """The config that the folder was made for."""
        return from_json(SweepConfig, self.facts()["config"])

    def facts(self) -> dict[str, Any]:
        """What sweep.json holds. `UserError` if it isn't there, isn't a sweep's, or has another format."""
        facts = self.read_json("sweep.json")
        if not (isinstance(facts, dict) and isinstance(facts.get("config"), dict) and "name" in facts):
            raise UserError(f"{self.path / 'sweep.json'} is not a sweep's: choose another folder with --out")
        if facts.get("format") != FORMAT:
            raise UserError(
                f"{self.path} was made by another version of isoflop, in another format: choose another "
                "folder, or go on with that version"
            )
        return facts

    def note(self, key: str, value: Any) -> None:
        """Adds a fact to sweep.json, or brings it up to date."""
        facts = self.facts()
        if facts.get(key) != value:
            self.write_json("sweep.json", facts | {key: value})

    def contents(self) -> Contents:
        """What is there now. One listing a kind, whatever the number of records."""
        partial: dict[str, int] = {}
        for name in list_names(self.path / "partial"):
            segment, _, steps = name.partition("~")
            # A kill between saving a state and dropping the one before leaves both: the furthest counts.
            partial[segment] = max(int(steps), partial.get(segment, 0))
        failures: dict[str, int] = {}
        for name in list_names(self.path / "failures"):
            segment, _, tries = name.removesuffix(".json").partition("~")
            failures[segment] = max(int(tries), failures.get(segment, 0))
        return Contents(
            segments=frozenset(list_names(self.path / "segments")),
            checkpoints=frozenset(list_names(self.path / "checkpoints")),
            diverged=frozenset(list_names(self.path / "diverged")),
            cells=frozenset(list_names(self.path / "cells")),
            partial=partial,
            failures=failures,
        )

    def segment(self, segment_id: str) -> Path:
        """The record of a segment that was trained."""
        return self.path / "segments" / segment_id

    def checkpoint(self, segment_id: str) -> Path:
        """The state at a segment's end."""
        return self.path / "checkpoints" / segment_id

    def partial(self, segment_id: str, steps: int) -> Path:
        """State and metrics after some steps of a segment."""
        return self.path / "partial" / f"{segment_id}~{steps}"

    def diverged(self, segment_id: str) -> Path:
        """The record of a segment that lost its way."""
        return self.path / "diverged" / segment_id

    def cell(self, cell_id: str) -> Path:
        """The cell's folder."""
        return self.path / "cells" / cell_id

    def teacher(self, cell_id: str) -> Path:
        """The copy of a model that the sweep's students learn from."""
        return self.path / "teachers" / cell_id

    def live(self, segment_id: str) -> Path:
        """What a segment under way has logged so far."""
        return self.path / "live" / segment_id

    def drop(self, folder: Path) -> None:
        """Removes a record: in one stroke out of sight, so that none is ever seen half gone."""
        # Deleted file by file under its name, it would be a corrupt record to whoever looks meanwhile.
        gone = folder.with_name(f".gone-{folder.name}-{os.urandom(4).hex()}")
        if folder.exists() and durable.move(folder, gone):
            shutil.rmtree(gone, ignore_errors=True)

    def drop_partials(self, segment_id: str, below: int | None = None) -> None:
        """Removes what was left half-way of a segment, if need be only before `below` steps."""
        for name in list_names(self.path / "partial"):
            whose, _, steps = name.partition("~")
            if whose == segment_id and (below is None or int(steps) < below):
                self.drop(self.path / "partial" / name)

    def checked(self, folder: Path) -> Path:
        """The record itself. Raises `CorruptRecordError`, and sets it aside, if its content changed."""
        try:
            durable.verify(folder)
        except CorruptRecordError as damage:
            self.set_aside(folder, damage.why)
            raise
        return folder

    def set_aside(self, damaged: Path, why: str) -> None:
        """Moves something damaged out of the way, beside a note of why.

        Raises `UserError` where that was done with the same record again and again: it would be for ever.
        """
        # Counted by the notes, which stay when somebody deletes the records to make room.
        aside = self.path / "damaged"
        aside.mkdir(exist_ok=True)
        record = f"{damaged.parent.name}-{damaged.name}-"
        times = sum(name.startswith(record) and name.endswith(".txt") for name in list_names(aside))
        if times >= MAX_CORRUPTIONS:
            raise UserError(
                f"{damaged} was damaged {times + 1} times ({why}): this disk does not keep what is written: "
                f"take another with --out, or delete {aside} to try again"
            )
        target = aside / f"{record}{os.urandom(4).hex()}"
        if damaged.exists() and durable.move(damaged, target):
            durable.write(target.with_name(f"{target.name}.txt"), f"{damaged}: {why}\n")

    def fail(self, segment_id: str, reason: str, tries: int) -> None:
        """Files why a segment could not be trained at that many tries."""
        self.write_json(f"failures/{segment_id}~{tries}.json", {"reason": reason})

    def reason(self, segment_id: str, tries: int) -> str:
        """Why it failed at its last try."""
        return self.read_json(f"failures/{segment_id}~{tries}.json")["reason"]

    def forget_failures(self) -> None:
        """Let all that failed be tried again, and whoever could not work here."""
        for kind in ("failures", "refusals"):
            for name in list_names(self.path / kind):
                (self.path / kind / name).unlink(missing_ok=True)

    def refuse_work(self, worker: str, reason: str) -> None:
        """Says why a worker can't work here at all."""
        self.write_json(f"refusals/{worker}.json", {"reason": reason, "at": time.time()})

    def last_refusal(self) -> str:
        """Why a worker could not work here, most lately; empty if none said so."""
        refusals = [self.read_json(f"refusals/{name}") for name in list_names(self.path / "refusals")]
        return max(refusals, key=lambda refusal: refusal["at"])["reason"] if refusals else ""

    def remove_scratch(self) -> None:
        """Removes what processes that are gone had begun to write or to remove. Only while nobody works."""
        for kind in ("segments", "checkpoints", "partial", "diverged", "cells", "claims"):
            for scratch in (self.path / kind).glob(".*"):
                shutil.rmtree(scratch, ignore_errors=True)

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
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path} is damaged ({error}): run the sweep again, which mends it") from error

    def write_json(self, name: str, value: Any) -> None:
        """Replaces a JSON file of the folder in one stroke."""
        self.write_text(name, json.dumps(value, indent=1) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Replaces a text file of the folder in one stroke."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.write(path, text)

    def _is_torn(self, head: Path) -> bool:
        if not (self.path / "segments").is_dir():
            return False
        try:
            json.loads(head.read_text())
        except ValueError:
            return True
        return False

    def refuse_corpus(self, corpus: DataSpec) -> None:
        """Raises `UserError` if what the folder holds was trained on other tokens of the same name."""
        there = self.facts().get("corpus")  # none yet where its first run was stopped at once
        if there:
            self._refuse_digest("trained", there["digest"], corpus)

    def note_eval_corpora(self, corpora: Sequence[DataSpec]) -> None:
        """Keep what the further corpora hold. Raises `UserError` where one holds another text than before."""
        self._note_digests("eval_corpora", "evaluated", corpora)

    def note_axis_corpora(self, corpora: Sequence[DataSpec]) -> None:
        """Keep what the corpora of an axis `data` hold. Raises `UserError` as `note_eval_corpora` does."""
        self._note_digests("axis_corpora", "trained", corpora)

    def _note_digests(self, fact: str, done: str, corpora: Sequence[DataSpec]) -> None:
        there = self.facts().get(fact, {})
        for corpus in corpora:
            self._refuse_digest(done, there.get(corpus.source, corpus.digest), corpus)
        if corpora:
            self.note(fact, {corpus.source: corpus.digest for corpus in corpora})

    def _refuse_digest(self, done: str, digest: str, corpus: DataSpec) -> None:
        if digest != corpus.digest:
            raise UserError(
                f"{self.path} was {done} on other text: what {corpus.source} names has changed since (its "
                f"tokens' digest is {digest} there and {corpus.digest} here): restore the text, or "
                "choose another folder with --out"
            )

    def _refuse_another(self, config: SweepConfig, kind: str) -> None:
        facts = self.facts()
        made_by = facts.get("results_version")
        if made_by != RESULTS_VERSION:
            raise UserError(
                f"{self.path} was made by another version of isoflop (its results' version is {made_by}, "
                f"this one's {RESULTS_VERSION}), whose numbers this one's may not be mixed with: choose "
                "another folder with --out, or go on with that version"
            )
        ours, theirs = to_json(config), to_json(self.config())  # what it lacks has its default
        differing = sorted(k for k in ours | theirs if ours.get(k) != theirs.get(k))
        known = theirs.get("budgets", [])
        if differing and not (differing == ["budgets"] and ours["budgets"][: len(known)] == known):
            what = ", ".join(
                f"{k} is {compact(theirs.get(k))} there and {compact(ours.get(k))} here"
                for k in differing[:3]
            )
            more = f" (and {', '.join(differing[3:])})" if differing[3:] else ""
            raise UserError(
                f"{self.path} holds another sweep: {what}{more}: choose another folder with --out, or go on "
                "with that sweep by the config it was made for (its sweep.json has it)"
            )
        if facts["kind"] != kind:
            raise UserError(
                f"{self.path} holds a sweep of another kind, {facts['kind']} there and {kind} here, whose "
                "run table this one would replace: choose another folder with --out"
            )
