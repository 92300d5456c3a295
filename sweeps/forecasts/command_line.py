"""A config as the command that trains it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from isoflop.base.errors import UserError
from isoflop.base.formatting import compact
from isoflop.base.provenance import LOG
from isoflop.sweeps.grids.config import OPTIONS, SweepConfig, config_names, load_config

UNKNOWN = "CONFIG"
"""Stands for a config whose file is not known."""


def going_on(folder: Path) -> str:
    """The command that goes on with a folder's sweep: the last one that its log has."""
    command = _last_command(folder)
    if command[:1] in (["sweep"], ["demo"]):
        return shlex.join(["isoflop", *command])
    return f"isoflop sweep {UNKNOWN} --out {shlex.quote(str(folder))}"


def sweep_command(config: SweepConfig, folder: Path, folders_own: SweepConfig) -> str:
    """The command that trains `config`, by the file that the sweep in `folder` was made from, with what
    differs. Where that file is not known, `CONFIG` stands for it, and what differs from `folders_own`."""
    name, base = _base(folder, folders_own)
    return shlex.join(["isoflop", "sweep", name, *_changes(config, base)])


def _last_command(folder: Path) -> list[str]:
    """The words after `isoflop`; none where the log has no command."""
    try:
        *_, last = (folder / LOG).read_text(encoding="utf-8").splitlines()
        return list(json.loads(last)["command"][1:])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _base(folder: Path, folders_own: SweepConfig) -> tuple[str, SweepConfig]:
    if folders_own.name in config_names():
        return folders_own.name, load_config(folders_own.name)
    command = _last_command(folder)
    try:
        if command[0] == "sweep":
            return command[1], load_config(command[1])
    except (IndexError, UserError):
        pass
    return UNKNOWN, folders_own


def _changes(config: SweepConfig, base: SweepConfig) -> Iterator[str]:
    """The options that make `config` of `base`."""
    for option in OPTIONS:
        new, old = config.option(option), base.option(option)
        if new == old or option == "teachers":  # looked up by the names that `teacher` gives
            continue
        if is_dataclass(new):  # the rates
            for f in fields(new):
                if getattr(new, f.name) != getattr(old, f.name):
                    yield from _words(f"{option}.{f.name}", getattr(new, f.name))
        else:
            yield from _words(option, new)


def _words(option: str, value: Any) -> Iterator[str]:
    flag = option.replace("_", "-")
    if isinstance(value, bool):
        yield f"--{flag}" if value else f"--no-{flag}"
        return
    yield f"--{flag}"
    yield from _values(value)


def _values(value: Any) -> Iterator[str]:
    if isinstance(value, tuple):
        for part in value:
            yield from _values(part)
    else:
        yield compact(value)
