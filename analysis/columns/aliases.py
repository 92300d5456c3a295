"""What other people's tables call the columns of a run table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from isoflop.analysis.columns.loss_units import split_loss_unit
from isoflop.analysis.columns.units import Named, is_spelled_out, key_of, split_unit
from isoflop.analysis.tables.cells import (
    FEW_LISTED,
    as_floats,
    has_numbers,
    listed,
    one_line,
    spelled_numbers,
)
from isoflop.analysis.tables.places import Part, place_of
from isoflop.analysis.tables.reading import rename
from isoflop.analysis.tables.statuses import are_statuses
from isoflop.base.errors import UserError

ALIASES: dict[str, tuple[str, ...]] = {
    "n_params": (
        "params", "parameters", "numparams", "numparameters", "nparameters", "parametercount", "paramcount",
        "paramscount", "modelsize", "modelparams", "modelparameters", "totalparams", "totalparameters",
        "numtotalparams", "paramstotal", "trainableparams", "trainableparameters", "activeparams",
        "paramsactive", "paramsactiveprecise", "nonembeddingparams", "nonembeddingparameters",
        "nonembeddingparamsize", "numnonembeddingparams", "paramsnonembedding", "paramsnoembed",
        "paramsnoembedding", "nonembedparams", "nnoemb", "nnonembedding", "nparamsactive",
    ),
    "n_tokens": (
        "tokens", "token", "numtokens", "tokencount", "tokenscount", "traintokens", "trainingtokens",
        "totaltokens", "totaltraintokens", "numtraintokens", "numtrainingtokens", "tokenstrained",
        "tokensseen", "consumedtokens", "tokensconsumed", "throughputtotaltokens",
    ),
    "n_tokens_unique": ("uniquetokens", "tokensunique", "numuniquetokens"),
    "flops": (
        "flop", "trainflop", "trainflops", "trainingflop", "trainingflops", "totalflop", "totalflops",
        "totaltrainflops", "totaltrainingflops", "modelflops", "numflops", "compute", "traincompute",
        "trainingcompute", "computeflop", "computeflops", "computebudget", "budgetflops", "flopsbudget",
        "flopbudget", "throughputtotalflops",
    ),
    "loss": (
        "valloss", "validloss", "validationloss", "evalloss", "evaluationloss", "testloss", "heldoutloss",
        "lossval", "losseval", "losstest", "finalloss", "finalvalloss", "finalevalloss", "finaltestloss",
        "lmloss", "crossentropy", "crossentropyloss", "celoss", "nll", "nllloss",
    ),
    "dataset": ("datasetname",),
    "status": (
        "state", "runstate", "runstatus", "trialstate", "trialstatus", "jobstate", "jobstatus", "finalstatus",
    ),
}  # fmt: skip
"""By run-table column: keys (`units.key_of`) of the names it goes by in public tables of runs: Epoch AI's
extraction of Hoffmann et al. (2022), datablations, Gadre et al., Porian et al., (Mis)Fitting, Gemstones, Step
Law, OLMo, and Levanter's and other trainers' W&B summaries.
"""

SYMBOLS = {"n_params": "Nn", "n_tokens": "DTt", "flops": "C", "loss": "L", "n_tokens_unique": "U"}
"""The literature's letters. A letter alone could be anything (`C` a character, `T` a temperature), so they
are read in company only: N with D, T or C; or n with t.
"""
NEEDED = ("n_params", "n_tokens", "flops", "loss")
WITH_UNITS = (*NEEDED, "n_tokens_unique")
NO_LOSS = {
    "train", "training", "stderr", "std", "se", "sd", "sem", "var", "variance", "upper", "lower", "min",
    "max", "aux", "router", "balance", "balancing", "load", "z", "weight", "scale", "fn", "function", "type",
    "name", "ratio", "delta", "by", "count",
}  # fmt: skip
"""Words that make of a column with `loss` in its name something else than a held-out loss."""
SETTINGS = r"config|params|hparams|hyperparameters|user_attrs"
NAMESPACE = re.compile(rf"^({SETTINGS}|summary|summaryMetrics|metrics|data)[./_]", re.IGNORECASE)
"""What W&B, MLflow, Optuna and Ray Tune write before a name."""
FEW = 1e5
"""Values that are all below this count no single parameters or tokens of a model that anyone fits."""


@dataclass(frozen=True)
class Naming:
    """How a table's columns were read.

    `columns`: run-table column -> the table's own name; `notes`: lines for the reader; `meanings`: what the
    source itself says of its conventions.
    """

    columns: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    meanings: dict[str, str] = field(default_factory=dict)
    loss_unit: str | None = None
    """What a loss that was read from another column is in, where its name says so."""
    own: tuple[str, ...] = ()
    """The table's own columns."""
    parts: tuple[Part, ...] = ()
    """Where the rows stand in their sources."""

    def column(self, name: str) -> str:
        """A column of the run table as a message calls it, with the table's own name if that is another."""
        own = self.columns.get(name)
        return name if own is None else f"{name} (the column {one_line(own, 60)!r})"

    def place(self, row: int) -> str:
        """Where a row stands, as its reader counts."""
        return place_of(self.parts, row)


def name_columns(
    frame: pd.DataFrame, columns: Mapping[str, str] | None, where: str, takes_loss: bool = True
) -> tuple[pd.DataFrame, Naming]:
    """The table with the run table's column names, and how they came about.

    `columns` (`{new: old}`) is done first; what is still absent is read from the one column whose name is a
    usual one. That column stays in the table beside its copy. `takes_loss`: whether a loss is wanted.

    Raises `UserError` where several could be meant.
    """
    own = tuple(frame.columns)
    chosen, stated = _with_units({new: old for new, old in (columns or {}).items() if new != old})
    frame, spelled = _spelled(rename(frame, chosen, where))
    found = {
        new: (old, stated.get(new) or _stated(old, new, as_floats(frame, new))) for new, old in chosen.items()
    }
    values = {new: _values(frame, new, named) for new, (_, named) in found.items() if named.converts}
    usual: list[str] = []
    for new in ALIASES:
        if new in frame.columns or (new == "n_params" and has_counts(frame)):
            continue
        if new == "loss" and not takes_loss:
            continue
        if (old := _only(frame, new, where)) is not None:
            found[new] = (old, read_name(old, new))
            values[new] = _values(frame, old, found[new][1])
            usual.append(new)
    said = ", ".join(f"{new} = {found[new][0]}" for new in usual)
    notes = (f"columns read by their usual names: {said}",) if usual else ()
    notes += tuple(_conversion(new, old, named) for new, (old, named) in found.items() if named.converts)
    notes += spelled
    unit = found["loss"][1].becomes if "loss" in found else None
    notes += _other_counts(frame, own, usual, found)
    naming = Naming({new: old for new, (old, _) in found.items()}, notes, loss_unit=unit, own=own)
    return frame.assign(**values), naming


def _other_counts(
    frame: pd.DataFrame, own: tuple[str, ...], usual: list[str], found: Mapping[str, tuple[str, Named]]
) -> tuple[str, ...]:
    """A note where the table counts parameters in other ways, too, than the one read by its usual name."""
    if "n_params" not in usual:
        return ()
    taken = found["n_params"][0]
    read = {old for old, _ in found.values()}
    # `params_head` may count the head's parameters; `params.lr` is MLflow's word for a setting.
    bare = {name: re.sub(r"^params[./]", "", name.lower()) for name in own if name not in read}
    counts = [name for name, key in bare.items() if re.search(r"(^|[^a-z])param(eter)?s($|[^a-z])", key)]
    others = [name for name in counts if has_numbers(frame, name)]
    if not others:
        return ()
    shown = listed(others, FEW_LISTED)
    return (f"N is {one_line(taken)}; the table also has {shown}: choose with --columns n_params=...",)


def _spelled(frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The table with numbers where text spells them in a column that is a loss or a count by its name."""
    changed, notes = {}, []
    for name in frame.columns:
        new = next((new for new in WITH_UNITS if _is_usual(name, new)), None)
        if new is None and not name.startswith("n_params_"):
            continue
        cells, texts = spelled_numbers(pd.Series(frame[name]), new != "loss")
        if texts:
            first = next(text for text in frame[name] if text in texts)
            value = next(cell for cell, raw in zip(cells, frame[name], strict=True) if raw == first)
            changed[name] = cells
            notes.append(f"{one_line(name)}: text that spells a number is read as it, {first!r} as {value:g}")
    return frame.assign(**changed), tuple(notes)


def _is_usual(name: str, new: str) -> bool:
    """Whether a column's name is the run table's own, a usual one, or a letter of the literature."""
    return _goes_by(_without_namespace(name), new) or (_is_letter(name) and name[0] in SYMBOLS.get(new, ""))


def _goes_by(name: str, new: str) -> bool:
    """Whether a name, less its unit, is the run table's own or a usual one."""
    return read_name(name, new).key in _keys(new)


def _conversion(new: str, old: str, named: Named) -> str:
    """What was done to a column's values because of its name."""
    if new != "loss":
        return (
            f"{new}: the name {one_line(old)!r} gives the unit {named.unit}; values multiplied by "
            f"{named.scale:.4g}"
        )
    done = "its natural logarithm is taken" if named.logarithm else f"multiplied by {named.scale:.4g}"
    return f"loss: the name {one_line(old)!r} says {named.unit}; {done}: {named.becomes or 'nats'}"


def combine(namings: Iterable[Naming]) -> Naming:
    """The naming of tables that are pooled. Raises `UserError` where their losses are in different units."""
    namings = list(namings)
    units = {naming.loss_unit for naming in namings}
    if len(units) > 1 and units != {None, "nats per token"}:
        kinds = " and ".join(sorted(str(unit or "as the table gives it") for unit in units))
        raise UserError(f"the tables' losses are in different units ({kinds}): they cannot be pooled")
    return Naming(
        columns=_joined(naming.columns for naming in namings),
        notes=tuple(dict.fromkeys(note for naming in namings for note in naming.notes)),
        meanings=_joined(naming.meanings for naming in namings),
        loss_unit=next((unit for unit in units if unit), None),
        own=tuple(dict.fromkeys(name for naming in namings for name in naming.own)),
        parts=tuple(part for naming in namings for part in naming.parts),
    )


def _joined(maps: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Each key with its values, every different one once."""
    values: dict[str, dict[str, None]] = {}
    for key, value in (pair for each in maps for pair in each.items()):
        values.setdefault(key, {})[value] = None
    return {key: ", ".join(different) for key, different in values.items()}


def has_counts(frame: pd.DataFrame) -> bool:
    """Whether the table counts parameters in ways of ours, by `n_params_COUNT`."""
    return any(f"n_params_{count}" in frame.columns for count in ("total", "non_embedding", "body", "active"))


def read_name(name: str, new: str) -> Named:
    """The key and the unit of a column's name, where it is to be the run table's column `new`."""
    return split_loss_unit(name) if new == "loss" else split_unit(name, new)


def _with_units(chosen: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Named]]:
    """The choices under the run table's names, and units that the new names state: `n_params_M=size`."""
    plain: dict[str, str] = {}
    stated: dict[str, Named] = {}
    for new, old in chosen.items():
        for column in WITH_UNITS:
            named = read_name(new, column)
            if named.unit and named.key == key_of(column):
                plain[column], stated[column] = old, named
                break
        else:
            plain[new] = old
    return plain, stated


def _stated(old: str, new: str, values: np.ndarray) -> Named:
    """The unit of a column that the user chose. A letter that may be part of a name (`run_b`) is believed
    where the rest is a usual name, or the values are too small for single parameters or tokens.
    """
    named = read_name(old, new)
    usual = named.key in _keys(new) or named.key in SYMBOLS.get(new, "").lower()
    if new == "loss" or named.unit is None or usual or is_spelled_out(old, named.unit):
        return named
    small = not bool(np.any(values >= FEW))
    return named if small else Named(named.key)


def _keys(new: str) -> tuple[str, ...]:
    return (*ALIASES.get(new, ()), key_of(new))


def _only(frame: pd.DataFrame, new: str, where: str) -> str | None:
    """The one column that goes by a usual name, or None."""
    names = [name for name in frame.columns if _goes_by(name, new)]
    names += [name for name, letter in _in_company(frame).items() if letter in SYMBOLS.get(new, "")]
    if not names:
        names = [name for name in frame.columns if _goes_by(_without_namespace(name), new)]
    if new == "status":
        names = [name for name in names if are_statuses(frame, name)]
    if new in NEEDED:
        names = [name for name in names if has_numbers(frame, name)] or names
    if new == "loss" and not names:
        names = [name for name in frame.columns if _looks_like_loss(frame, name)]
    if new == "loss":  # a perplexity beside the loss itself is the same thing again
        names = [name for name in names if not read_name(name, new).converts] or names
    if len(names) > 1 and not _agree(frame, names, new):
        if new not in NEEDED:
            return None
        raise UserError(
            f"{where} has several columns that could be {new}: {listed(names, FEW_LISTED)}; "
            f"choose one with --columns {new}={one_line(names[0])}"
        )
    return names[0] if names else None


def _without_namespace(name: str) -> str:
    """A name without what a tracker or tuner writes before it: `config.n_params`, `metrics.val_loss`."""
    return NAMESPACE.sub("", name, count=1)


def _in_company(frame: pd.DataFrame) -> dict[str, str]:
    """Columns that may be read as the literature's symbols, and their letters: `N`, `D (B)`."""
    letters = {name: name[0] for name in frame.columns if _is_letter(name)}
    there = set(letters.values())
    if "N" in there and there & {"D", "T", "C"}:
        read = {"N", "D", "C", "L", "U"} | ({"T"} - ({"T"} if "D" in there else set()))
    else:
        read = {"n", "t"} if {"n", "t"} <= there else set()
    return {name: letter for name, letter in letters.items() if letter in read}


def _is_letter(name: str) -> bool:
    """A letter alone, or with a unit in brackets."""
    if not re.fullmatch(r"[A-Za-z](\s*[(\[].*[)\]])?", name):
        return False
    new = next((new for new, letters in SYMBOLS.items() if name[0] in letters), None)
    return new is not None and (len(name) == 1 or read_name(name, new).unit is not None)


def _looks_like_loss(frame: pd.DataFrame, name: str) -> bool:
    if re.match(rf"({SETTINGS})[./]", name):
        return False  # a weight of a loss, not one
    words = re.findall(r"[a-z0-9]+", name.lower())
    return "loss" in words and not NO_LOSS & set(words) and pd.api.types.is_numeric_dtype(frame[name])


def _agree(frame: pd.DataFrame, names: list[str], new: str) -> bool:
    """Several names for the same numbers are one column."""
    first, *others = (read_name(name, new).convert(as_floats(frame, name)) for name in names)
    return all(np.allclose(first, other, rtol=1e-9, atol=0, equal_nan=True) for other in others)


def _values(frame: pd.DataFrame, name: str, named: Named) -> pd.Series | np.ndarray:
    return named.convert(as_floats(frame, name)) if named.converts else pd.Series(frame[name])
