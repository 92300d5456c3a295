"""Loss curves from files: one a file, a folder of them, a long table with a column of runs, a sweep's
folder."""

from __future__ import annotations

import csv
import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from isoflop.analysis.columns.units import key_of
from isoflop.analysis.curves.data.curve import FEWEST_ROWS, LossCurve
from isoflop.analysis.curves.data.rates import rates_of
from isoflop.analysis.curves.data.sweep_curves import is_sweep, sweep_tables
from isoflop.analysis.tables.cells import as_floats, as_texts, listed, one_line
from isoflop.analysis.tables.delimited import layout
from isoflop.analysis.tables.places import Part
from isoflop.analysis.tables.reading import SUFFIXES, read_table, rename, tidy
from isoflop.base.errors import UserError

ALIASES = {
    "step": (
        "step", "steps", "globalstep", "trainerglobalstep", "trainstep", "trainglobalstep", "iteration",
        "iterations", "iter", "trainiteration", "update", "updates", "optimizerstep",
    ),
    "lr": (
        "lr", "learningrate", "trainlr", "trainlearningrate", "metricslr", "optimlr", "optimlearningrate",
        "optimizerlr", "schedulelr", "optlr", "lradamw", "lradam", "rate",
    ),
    "loss": (
        "loss", "valloss", "validationloss", "evalloss", "testloss", "heldoutloss", "trainloss",
        "trainingloss", "metricsloss", "lossval", "losstrain", "lmloss", "crossentropy", "crossentropyloss",
    ),
    "run": ("run", "runname", "runid", "curve", "name", "cellid", "experiment", "id", "trial", "trialid"),
}  # fmt: skip
"""By column: keys (`units.key_of`) of the names it goes by in trainers' logs and trackers' exports."""
NOT_A_NUMBER = {"nan", "inf", "-inf", "+inf", "infinity", "-infinity"}


@dataclass(frozen=True)
class CurveReading:
    """How curves are read."""

    columns: Mapping[str, str] | None = None
    """`{new: old}`, new one of `step`, `lr`, `loss`, `run`."""
    select: tuple[str, ...] = ()
    """Patterns of the names to keep, as of file names; none: all."""
    warmup_steps: int | None = None
    """Steps over which the rate rose linearly from zero before the first row; None: see `rates_of`."""


def read_curves(
    sources: Sequence[str | Path | pd.DataFrame], reading: CurveReading
) -> tuple[list[LossCurve], tuple[str, ...]]:
    """The curves of all sources, under names of their own, and notes on what was assumed.

    Raises `UserError`, in one line, for what cannot be read as loss curves.
    """
    found: dict[str, LossCurve] = {}
    notes: dict[str, list[str]] = {}
    names: list[str] = []
    for source in sources:
        for where, name, frame in _tables(source, reading):
            names.append(name)
            if reading.select and not any(fnmatch.fnmatch(name, each) for each in reading.select):
                continue
            if name in found:
                raise UserError(f"two curves are called {name}: rename one, or leave it out with --select")
            found[name], told = _curve(frame, name, where, reading.warmup_steps)
            if isinstance(source, str | Path) and is_sweep(Path(source)):
                told = []  # its rows are arranged here: what some lack is no news
            for note in told:
                notes.setdefault(note, []).append(name)
    if not found:
        what = ", ".join(reading.select) or "these paths"
        raise UserError(f"no loss curve is called {what}: there are {listed(names) or 'none'}")
    return list(found.values()), tuple(f"{listed(who, 3)}: {note}" for note, who in notes.items())


def _tables(
    source: str | Path | pd.DataFrame, reading: CurveReading
) -> Iterator[tuple[Part, str, pd.DataFrame]]:
    """Each curve's place, name and rows under the columns' standard names."""
    if isinstance(source, pd.DataFrame):
        frame = tidy(source, "a data frame")
        yield from _split(frame, Part("a data frame", frame.index, labels=source.index), "curve", reading)
    elif str(source).startswith("public:"):
        from isoflop.analysis.sources.public import read_public

        frame, _ = read_public(str(source).removeprefix("public:"))
        yield from _split(frame, Part(str(source), frame.index), str(source), reading)
    elif is_sweep(Path(source)):
        for path, name, frame in sweep_tables(Path(source)):
            yield Part(str(path), frame.index), name, frame
    else:
        for path in _files(Path(source)):
            frame = read_table(path)
            yield from _split(frame, Part(str(path), frame.index, path), path.stem, reading)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"no loss curve at {path}: there is no such file or folder")
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise UserError(f"{path} holds no table: it needs one file a curve ({', '.join(SUFFIXES)})")
    return files


def _split(
    frame: pd.DataFrame, part: Part, stem: str, reading: CurveReading
) -> Iterator[tuple[Part, str, pd.DataFrame]]:
    """The table's one curve, or each of its run column."""
    columns = reading.columns or {}
    if unknown := [name for name in columns if name not in ALIASES]:
        raise UserError(f"--columns {unknown[0]}=...: a loss curve has the columns {', '.join(ALIASES)}")
    frame = _refused_text(frame, part, columns)
    frame = rename(frame, {new: old for new, old in columns.items() if new != old}, part.name)
    named = {name: _column(frame, name, part.name) for name in ("step", "lr", "loss")}
    numbers = pd.DataFrame({name: as_floats(frame, str(old)) for name, old in named.items()}, frame.index)
    run = _column(frame, "run", part.name, needed=False)
    if run is None or as_texts(frame, run).nunique() < 2:
        yield part, stem, numbers
        return
    texts = as_texts(frame, run)
    for name in dict.fromkeys(texts.dropna()):
        yield part, str(name), numbers.loc[texts == name]


def _column(frame: pd.DataFrame, wanted: str, where: str, needed: bool = True) -> str | None:
    """The one column that goes by a usual name of what is wanted."""
    if wanted in frame.columns:
        return wanted
    keys = {str(name): key_of(str(name)) for name in frame.columns}
    found = [name for name, key in keys.items() if key in ALIASES[wanted]]
    if len(found) == 1:
        return found[0]
    if not needed:
        return None
    if not found:
        raise UserError(
            f"{where} has no column of the {WHAT[wanted]}; name one with --columns {wanted}=...: it has "
            f"{listed(list(frame.columns))}"
        )
    raise UserError(f"{where}: {' or '.join(map(one_line, found))}? choose with --columns {wanted}=...")


Readable = str | Path | pd.DataFrame

WHAT = {"step": "step", "lr": "learning rate (lr)", "loss": "loss"}


def _refused_text(frame: pd.DataFrame, part: Part, columns: Mapping[str, str]) -> pd.DataFrame:
    """The frame. Raises `UserError` for a loss that is written `nan` or `inf`: an empty cell is one
    without."""
    path = part.path
    if path is None or path.suffix.lower() not in (".csv", ".tsv"):
        return frame
    name = columns.get("loss") or _column(frame, "loss", part.name)
    if np.isfinite(as_floats(frame, str(name))).all():
        return frame
    found = layout(path.read_bytes(), tabs=path.suffix.lower() == ".tsv")
    rows = [row for row in csv.reader(found.lines, delimiter=found.separator) if row]
    header = [" ".join(cell.split()) for cell in rows[0]]
    at = header.index(str(name))
    for number, row in enumerate(rows[1:]):
        if at < len(row) and row[at].strip().lower() in NOT_A_NUMBER:
            raise UserError(
                f"{path}, line {found.numbers[number + 1]}: the loss is {row[at].strip()}, so that the run "
                "diverged there: leave out its rows from that step on"
            )
    return frame


def _curve(
    frame: pd.DataFrame, name: str, part: Part, warmup_steps: int | None
) -> tuple[LossCurve, list[str]]:
    """The curve of one run's rows, and what was assumed."""
    where = part.name if Path(part.name).stem == name or part.path is None else f"{part.name}, {name}"
    step, rate, loss = (frame[column].to_numpy() for column in ("step", "lr", "loss"))
    if not np.isfinite(step).all() or (step < 0).any() or (step != np.rint(step)).any():
        raise UserError(f"{where}: a step must be a whole number from 0 up in every row")
    if (back := np.flatnonzero(np.diff(step) <= 0)).size:
        row = int(back[0]) + 1
        place = part.place(int(part.index.get_indexer(frame.index[[row]])[0]))
        raise UserError(
            f"{where}, {place}: step {int(step[row])} after {int(step[row - 1])}: sort the rows by step and "
            "keep one of each (the last, after a restart)"
        )
    has_rate, has_loss = np.isfinite(rate), np.isfinite(loss)
    if np.isinf(loss).any() or (loss[has_loss] <= 0).any():
        raise UserError(f"{where}: a loss must be a positive number")
    if not has_rate.any():
        raise UserError(f"{where}: the learning rate is empty in every row: the schedule must be known")
    if (rate[has_rate] < 0).any() or not (rate[has_rate] > 0).any():
        raise UserError(f"{where}: a learning rate must not be negative, nor zero in every row")
    if has_loss.sum() < FEWEST_ROWS:
        raise UserError(f"{where} has {int(has_loss.sum())} rows with a loss: a curve takes {FEWEST_ROWS}")
    steps = step.astype(int)
    last = int(steps[has_loss][-1])
    rates_T, told = rates_of(steps[has_rate], rate[has_rate], last, warmup_steps, where)
    notes = [told] if told else []
    if bare := int((~has_loss).sum()):
        notes.append(f"{bare} of {len(steps)} rows have no loss and count for the schedule alone")
    return LossCurve(name, rates_T, steps[has_loss], loss[has_loss]), notes
