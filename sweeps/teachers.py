"""Teachers of a sweep's students: looked up among another sweep's kept models, and copied into the folder.

A sweep names a teacher as FOLDER:CELL_ID. What it takes of it lies in its own folder from the start, so that
workers anywhere find it, and the sweep is whole when the teacher's own folder is gone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from isoflop.base.durable import CorruptRecordError, new_folder, verify
from isoflop.base.errors import UserError
from isoflop.base.json_values import from_json, to_json
from isoflop.sweeps.grids.config import NO_TEACHER, SweepConfig
from isoflop.sweeps.kept_models import KEEP, kept_models
from isoflop.sweeps.queue.store import Store
from isoflop.train import checkpoint
from isoflop.train.data.corpus import Corpus
from isoflop.train.spec import Teacher

RECORD, PARAMS = "teacher.json", "params"
"""In a teacher's folder: what it is, and its parameters."""


def with_teachers(config: SweepConfig, folder: Path) -> SweepConfig:
    """The config with what its teachers are: copies in the sweep's own `folder`, or models kept elsewhere.

    Raises `UserError` for a name of another form, a folder without kept models, and a cell that is none of
    them.
    """
    names = dict.fromkeys(variant.teacher for variant in config.variants)
    teachers = [_find(name, folder) for name in names if name != NO_TEACHER]
    return config.with_options(teachers=tuple(teachers))


def copy_teachers(config: SweepConfig, store: Store) -> None:
    """Copy the parameters of the config's teachers into the sweep's folder, where they aren't there yet."""
    for name in dict.fromkeys(variant.teacher for variant in config.variants):
        if name == NO_TEACHER or _copy_of(name, store.path):
            continue
        teacher, params = _kept(name)
        with new_folder(store.teacher(teacher.cell_id)) as copy:
            checkpoint.save_params(params, copy / PARAMS)
            (copy / RECORD).write_text(json.dumps(to_json(teacher), indent=1))


@lru_cache(maxsize=4)
def load_teacher(folder: Path, teacher: Teacher) -> Any:
    """The parameters of a teacher's copy in `folder`. Raises `UserError` where they are not the teacher's."""
    try:
        verify(folder)
        params = checkpoint.restore_params(teacher.model, folder / PARAMS)
    except (OSError, CorruptRecordError) as error:
        raise UserError(_damaged(folder)) from error
    if checkpoint.params_digest(params) != teacher.digest:
        raise UserError(_damaged(folder))
    return params


def refuse_unfit_teacher(variant: SweepConfig, corpus: Corpus) -> None:
    """Raises `UserError` for a teacher that is unfit for students of this corpus: of another vocabulary,
    tokenizer or text, or of a context shorter than a student's."""
    if variant.distillation is None:
        return
    teacher, own = variant.distillation.teacher, variant.model.context_length
    name, data = f"teacher {variant.teacher}", corpus.spec
    if teacher.model.vocab_size != corpus.vocab_size or teacher.data.tokenizer != data.tokenizer:
        raise UserError(
            f"{name}: has {teacher.model.vocab_size} token ids, of tokenizer {teacher.data.tokenizer}, "
            f"and the students {corpus.vocab_size}, of {data.tokenizer}: take one of the same tokenizer"
        )
    if teacher.data.digest != data.digest:
        raise UserError(
            f"{name}: was trained on {teacher.data.source}, other text than the students' {data.source} "
            f"(digests {teacher.data.digest} and {data.digest}): it may have seen the held-out windows; "
            "train one on the same text"
        )
    if teacher.model.context_length < own:
        raise UserError(
            f"{name}: knows windows of {teacher.model.context_length} tokens, and the students' have "
            f"{own}: lower --context-length, or take another teacher"
        )


def _find(name: str, folder: Path) -> Teacher:
    if copy := _copy_of(name, folder):
        return from_json(Teacher, json.loads((copy / RECORD).read_text()))
    return _kept(name)[0]


def _copy_of(name: str, folder: Path) -> Path | None:
    """The teacher's copy in a sweep's folder, if it is there."""
    copy = Store(folder).teacher(_parts(name)[1])
    return copy if (copy / RECORD).is_file() else None


def _kept(name: str) -> tuple[Teacher, Any]:
    """A model that another sweep kept, and its parameters."""
    folder, cell_id = _parts(name)
    if not folder.is_dir():
        raise UserError(
            f"teacher {name}: there is no folder {folder}: train the teacher's sweep there, with {KEEP}"
        )
    models = {model.cell.cell_id: model for model in kept_models(folder)[0]}
    if cell_id not in models:
        raise UserError(f"teacher {name}: {folder} kept no model of that cell_id; it has {_some([*models])}")
    model = models[cell_id]
    loss = Store(folder).read_json(f"cells/{cell_id}/cell.json")["result"]["loss"]
    recipe, digest = model.recipe, checkpoint.params_digest(model.params)
    teacher = Teacher(cell_id, digest, recipe.model, recipe.dtype, recipe.data, model.cell.flops, loss)
    return teacher, model.params


def _parts(name: str) -> tuple[Path, str]:
    """The folder and the cell of a teacher's name."""
    folder, colon, cell_id = name.rpartition(":")
    if not (colon and folder and cell_id):
        raise UserError(
            f"teacher {name}: write FOLDER:CELL_ID, as in outputs/teachers:0123456789abcdef; runs.csv of the "
            f"folder of a sweep that kept its models ({KEEP}) has their cell_id"
        )
    return Path(folder), cell_id


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6])
    return f"{shown} and {len(names) - 6} more" if len(names) > 6 else shown


def _damaged(folder: Path) -> str:
    return (
        f"{folder}, the copy of a teacher, is damaged: delete it and run the sweep again, with the teacher's "
        "own folder where it was"
    )
