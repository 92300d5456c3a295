"""What other people's tables call the columns of a run table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from isoflop.analysis.readers import as_floats, as_texts, one_line, rename
from isoflop.analysis.sources.units import Named, key_of, split_unit
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
    "status": ("state", "runstate"),
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
STATES = {
    "finished", "completed", "failed", "crashed", "killed", "running", "pending", "preempted", "preempting",
}  # fmt: skip
NO_LOSS = {
    "train", "training", "stderr", "std", "se", "sd", "sem", "var", "variance", "upper", "lower", "min",
    "max", "aux", "router", "balance", "balancing", "load", "z", "weight", "scale", "fn", "function", "type",
    "name", "ratio", "delta", "by", "count",
}  # fmt: skip
"""Words that make of a column with `loss` in its name something else than a held-out loss."""
SHOWN = 4


@dataclass(frozen=True)
class Naming:
    """How a table's columns were read.

    `columns`: run-table column -> the table's own name; `notes`: lines for the reader; `meanings`: what the
    source itself says of its conventions.
    """

    columns: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    meanings: dict[str, str] = field(default_factory=dict)


def name_columns(
    frame: pd.DataFrame, columns: Mapping[str, str] | None, where: str
) -> tuple[pd.DataFrame, Naming]:
    """The table with the run table's column names, and how they came about.

    `columns` (`{new: old}`) is done first; what is still absent is read from the one column whose name is a
    usual one. That column stays in the table beside its copy.

    Raises `UserError` where several could be meant.
    """
    chosen = {new: old for new, old in (columns or {}).items() if new != old}
    frame = rename(frame, chosen, where)
    found = {new: (old, _stated(old, new)) for new, old in chosen.items()}
    values = {new: _values(frame, new, named) for new, (_, named) in found.items() if named.unit}
    usual: list[str] = []
    for new in ALIASES:
        if new in frame.columns or (new == "n_params" and _counted(frame)):
            continue
        if (old := _only(frame, new, where)) is not None:
            found[new] = (old, split_unit(old, new))
            values[new] = _values(frame, old, found[new][1])
            usual.append(f"{new} = {old}")
    notes = (f"columns read by their usual names: {', '.join(usual)}",) if usual else ()
    notes += tuple(
        f"{new}: the name {old!r} gives the unit {named.unit}; values multiplied by {named.scale:.4g}"
        for new, (old, named) in found.items()
        if named.unit
    )
    return frame.assign(**values), Naming({new: old for new, (old, _) in found.items()}, notes)


def combine(namings: Iterable[Naming]) -> Naming:
    """The naming of tables that are pooled."""
    columns: dict[str, list[str]] = {}
    notes: dict[str, None] = {}
    meanings: dict[str, list[str]] = {}
    for naming in namings:
        notes |= dict.fromkeys(naming.notes)
        for target, source in ((columns, naming.columns), (meanings, naming.meanings)):
            for key, value in source.items():
                if value not in target.setdefault(key, []):
                    target[key].append(value)
    joined = ({key: ", ".join(values) for key, values in each.items()} for each in (columns, meanings))
    return Naming(next(joined), tuple(notes), next(joined))


def hints(frame: pd.DataFrame, missing: Iterable[str]) -> dict[str, str]:
    """`{new: old}` guesses too weak to act on: a letter alone, a training loss."""
    found = {}
    for new in missing:
        letters = [name for name in frame.columns if name in tuple(SYMBOLS.get(new, ""))]
        losses = [name for name in frame.columns if "loss" in name.lower()] if new == "loss" else []
        if letters or losses:
            found[new] = (letters or losses)[0]
    return found


def _counted(frame: pd.DataFrame) -> bool:
    return any(f"n_params_{count}" in frame.columns for count in ("total", "non_embedding", "body"))


def _stated(old: str, new: str) -> Named:
    """The unit of a column that the user chose: believed where the rest of its name is a usual one, too."""
    named = split_unit(old, new)
    return named if named.key in _keys(new) else Named(named.key)


def _keys(new: str) -> tuple[str, ...]:
    return (*ALIASES.get(new, ()), key_of(new))


def _only(frame: pd.DataFrame, new: str, where: str) -> str | None:
    """The one column that goes by a usual name, or None."""
    names = [name for name in frame.columns if split_unit(name, new).key in _keys(new)]
    names += [name for name in _in_company(frame) if name in tuple(SYMBOLS.get(new, ""))]
    if new == "status":
        names = [name for name in names if _are_states(frame, name)]
    if new in NEEDED:
        names = [name for name in names if _has_numbers(frame, name)] or names
    if new == "loss" and not names:
        names = [name for name in frame.columns if _looks_like_loss(frame, name)]
    if len(names) > 1 and not _agree(frame, names, new):
        if new not in NEEDED:
            return None
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise UserError(
            f"{where} has several columns that could be {new}: {one_line(', '.join(names[:SHOWN]))}{more}; "
            f"choose one with --columns {new}={one_line(names[0])}"
        )
    return names[0] if names else None


def _in_company(frame: pd.DataFrame) -> list[str]:
    """The single letters that may be read as the literature's symbols."""
    there = {name for name in frame.columns if len(name) == 1}
    if "N" in there and there & {"D", "T", "C"}:
        return [name for name in "NDTCLU" if name in there and not (name == "T" and "D" in there)]
    return ["n", "t"] if {"n", "t"} <= there else []


def _are_states(frame: pd.DataFrame, name: str) -> bool:
    states = as_texts(frame, name).dropna().str.strip().str.lower().unique()
    return len(states) > 0 and set(states) <= STATES


def _has_numbers(frame: pd.DataFrame, name: str) -> bool:
    return bool(np.isfinite(as_floats(frame, name)).any())


def _looks_like_loss(frame: pd.DataFrame, name: str) -> bool:
    words = re.findall(r"[a-z0-9]+", name.lower())
    return "loss" in words and not NO_LOSS & set(words) and pd.api.types.is_numeric_dtype(frame[name])


def _agree(frame: pd.DataFrame, names: list[str], new: str) -> bool:
    """Several names for the same numbers are one column."""
    first, *others = (_scaled(frame, name, split_unit(name, new)) for name in names)
    return all(np.allclose(first, other, rtol=1e-9, atol=0, equal_nan=True) for other in others)


def _values(frame: pd.DataFrame, name: str, named: Named) -> pd.Series | np.ndarray:
    return pd.Series(frame[name]) if named.unit is None else _scaled(frame, name, named)


def _scaled(frame: pd.DataFrame, name: str, named: Named) -> np.ndarray:
    with np.errstate(over="ignore"):  # an infinity is refused where the column is used
        return named.scale * as_floats(frame, name)
