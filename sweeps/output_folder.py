"""Which folder a sweep goes to where nobody says: sweeps that differ never meet in one."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from isoflop.base.json_values import content_id
from isoflop.sweeps.grids.adaptive import Adaptive
from isoflop.sweeps.grids.config import OPTIONS, Axis, SweepConfig, config_names, load_config
from isoflop.sweeps.queue.store import GRID

OUTPUTS = Path("outputs")

LONGEST = 48
"""Characters in which the changes of a sweep are spelled out; longer ones give their hash."""


def default_folder(
    config: SweepConfig, base: SweepConfig | None = None, adaptive: Adaptive | None = None
) -> Path:
    """`outputs/NAME`, with what differs from `base`, the config as its file has it, and from a fixed grid.

    Without `base` the config that is known by the same name is taken, if there is one.
    """
    if base is None:
        known = config.name in config_names()
        base = load_config(config.name) if known else config
    changes = "-".join(_changes(config, base))
    if len(changes) > LONGEST:
        changes = content_id(config)[:8]
    return OUTPUTS / "-".join(filter(None, (config.name, changes, _suffix(adaptive))))


def kind_of(adaptive: Adaptive | None) -> str:
    """What a folder's sweep is called, so that another kind keeps out of it."""
    return GRID if adaptive is None else f"adaptive sweep for {adaptive.target}"


def _changes(config: SweepConfig, base: SweepConfig) -> list[str]:
    """A word for each option that differs, in the options' order; of the rates' fields for each of those."""
    words = []
    for option in OPTIONS:
        new, old = config.option(option), base.option(option)
        if new == old or option in ("name", "teachers"):
            continue
        if is_dataclass(new):
            pairs = [(f.name, getattr(new, f.name), getattr(old, f.name)) for f in fields(new)]
            words += [_word(f"{option}-{name}", value) for name, value, before in pairs if value != before]
        else:
            words.append(_word(option, new))
    return words


def _word(name: str, value: Any) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return flag if value else f"no-{flag}"
    return f"{flag}-{_spelled(value)}"


def _spelled(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(_spelled, value))
    if isinstance(value, Axis):
        return f"{_spelled(value.option)}-{_spelled(value.values)}"
    text = f"{value:.6g}".replace("e+", "e") if isinstance(value, float) else str(value)
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")


def _suffix(adaptive: Adaptive | None) -> str:
    if adaptive is None:
        return ""
    return "adaptive" if adaptive.target == Adaptive.target else f"adaptive-{_spelled(adaptive.target)}"
